//! TLS for tests: an authority that issues what is asked for, and wrappers that put TLS around plain
//! connections on either side, so that clients and origins stay as they are.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams,
    SerialNumber, SignatureAlgorithm,
};
use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, ServerConfig};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// An authority.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in PEM.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Pair {
    /// The same with the certificates of those who vouch for it behind its own, the nearest first.
    pub(crate) fn behind(self, others: &[&Authority]) -> Self {
        let others: String = others.iter().map(|one| one.pem()).collect();
        Self { chain: self.chain + &others, key: self.key }
    }

    /// The key, encrypted by OpenSSL with this password.
    pub(crate) fn locked(&self, password: &str) -> String {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, &self.key).unwrap();
        let output = std::process::Command::new("openssl")
            .args(["pkcs8", "-topk8", "-passout", &format!("pass:{password}"), "-in"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes both beside each other, as `NAME.pem` and `NAME.key`.
    pub(crate) fn write(&self, directory: &Path, name: &str) {
        std::fs::write(directory.join(format!("{name}.pem")), &self.chain).unwrap();
        std::fs::write(directory.join(format!("{name}.key")), &self.key).unwrap();
    }

    /// Whether this is its certificate.
    pub(crate) fn is_of(&self, certificate: &CertificateDer<'_>) -> bool {
        self.der().0[0] == *certificate
    }

    /// The same in DER.
    pub(crate) fn der(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        (chain.map(Result::unwrap).collect(), key)
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { issuer }
    }

    /// One that this one vouches for.
    pub(crate) fn below(&self, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::signed_by(params, key, &self.issuer).unwrap() }
    }

    /// Its certificate, in PEM.
    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The same in DER.
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate for these names.
    pub(crate) fn issue(&self, names: &[&str]) -> Pair {
        self.issue_with(names, &PKCS_ECDSA_P256_SHA256, |_| {})
    }

    /// The same with a key of this kind, and changed.
    pub(crate) fn issue_with(
        &self,
        names: &[&str],
        kind: &'static SignatureAlgorithm,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Pair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        change(&mut params);
        let key = KeyPair::generate_for(kind).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Pair { chain: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client's certificate: of this name, with this number.
    pub(crate) fn issue_to(&self, name: &str, serial: u64) -> Pair {
        self.issue_with(&[], &PKCS_ECDSA_P256_SHA256, |params| {
            params.distinguished_name.push(DnType::OrganizationName, "Test");
            params.distinguished_name.push(DnType::CommonName, name);
            params.serial_number = Some(SerialNumber::from(serial));
        })
    }

    /// A list that revokes these numbers, in PEM.
    pub(crate) fn revoke(&self, serials: &[u64]) -> String {
        self.revoke_until(serials, 4000)
    }

    /// The same, that holds until this year.
    pub(crate) fn revoke_until(&self, serials: &[u64], year: i32) -> String {
        let now = rcgen::date_time_ymd(2020, 1, 1);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: rcgen::date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A client that believes this authority.
    pub(crate) fn client(&self) -> ClientConfig {
        self.client_with(|_| {})
    }

    /// The same with other cryptography.
    pub(crate) fn client_with(&self, change: impl FnOnce(&mut CryptoProvider)) -> ClientConfig {
        self.client_builder(change).with_no_client_auth()
    }

    /// The same with a certificate of its own.
    pub(crate) fn client_as(&self, pair: &Pair) -> ClientConfig {
        let (chain, key) = pair.der();
        self.client_builder(|_| {}).with_client_auth_cert(chain, key).unwrap()
    }

    fn client_builder(
        &self,
        change: impl FnOnce(&mut CryptoProvider),
    ) -> ConfigBuilder<ClientConfig, WantsClientCert> {
        let mut provider = (*provider()).clone();
        change(&mut provider);
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    }
}

/// Where the cryptography comes from.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A server that shows this certificate.
pub(crate) fn server(pair: &Pair) -> ServerConfig {
    let (chain, key) = pair.der();
    ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap()
}

/// What came of a handshake: version, cipher suite, protocol, whether it was resumed, who was met, the
/// name that was asked for; or why it failed.
#[derive(Debug, Clone)]
pub(crate) struct Shake {
    pub(crate) version: rustls::ProtocolVersion,
    pub(crate) suite: rustls::CipherSuite,
    pub(crate) protocol: Option<Vec<u8>>,
    pub(crate) resumed: bool,
    pub(crate) peer: Vec<CertificateDer<'static>>,
    pub(crate) server_name: Option<String>,
}

impl Shake {
    fn of(session: &rustls::CommonState, server_name: Option<&str>) -> Self {
        Self {
            version: session.protocol_version().unwrap(),
            suite: session.negotiated_cipher_suite().unwrap().suite(),
            protocol: session.alpn_protocol().map(<[u8]>::to_vec),
            resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
            peer: session.peer_certificates().unwrap_or_default().to_vec(),
            server_name: server_name.map(str::to_owned),
        }
    }
}

/// Puts TLS around connections.
pub(crate) struct Wrapper {
    address: SocketAddr,
    shakes: Arc<Mutex<Vec<Result<Shake, String>>>>,
}

impl Wrapper {
    /// For plain clients: what connects to it is led to `server` as the client `config`, asking for
    /// this name.
    pub(crate) async fn around_clients(
        server: SocketAddr,
        config: ClientConfig,
        name: &str,
    ) -> Self {
        let (listener, wrapper) = Self::listen().await;
        let shakes = Arc::clone(&wrapper.shakes);
        let (connector, name) = (TlsConnector::from(Arc::new(config)), name.to_owned());
        tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let (connector, shakes) = (connector.clone(), Arc::clone(&shakes));
                let name = ServerName::try_from(name.clone()).unwrap();
                tokio::spawn(async move {
                    let Ok(socket) = TcpStream::connect(server).await else { return };
                    socket.set_nodelay(true).unwrap();
                    match connector.connect(name, socket).await {
                        Ok(mut secured) => {
                            let shake = Shake::of(secured.get_ref().1, None);
                            shakes.lock().unwrap().push(Ok(shake));
                            let _ = copy_bidirectional(&mut plain, &mut secured).await;
                        }
                        Err(error) => shakes.lock().unwrap().push(Err(error.to_string())),
                    }
                });
            }
        });
        wrapper
    }

    /// For a plain server: what connects to it speaks TLS with `config`, and is led to `server`.
    pub(crate) async fn around_server(server: SocketAddr, config: ServerConfig) -> Self {
        let (listener, wrapper) = Self::listen().await;
        let shakes = Arc::clone(&wrapper.shakes);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (acceptor, shakes) = (acceptor.clone(), Arc::clone(&shakes));
                tokio::spawn(async move {
                    match acceptor.accept(socket).await {
                        Ok(mut secured) => {
                            let session = secured.get_ref().1;
                            let shake = Shake::of(session, session.server_name());
                            shakes.lock().unwrap().push(Ok(shake));
                            let Ok(mut plain) = TcpStream::connect(server).await else { return };
                            let _ = copy_bidirectional(&mut secured, &mut plain).await;
                            let _ = secured.shutdown().await;
                        }
                        Err(error) => shakes.lock().unwrap().push(Err(error.to_string())),
                    }
                });
            }
        });
        wrapper
    }

    async fn listen() -> (TcpListener, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, Self { address, shakes: Arc::default() })
    }

    /// Where it is connected to.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What came of the handshakes so far.
    pub(crate) fn shakes(&self) -> Vec<Result<Shake, String>> {
        self.shakes.lock().unwrap().clone()
    }
}

/// Leads connections to `server` with these bytes in front.
pub(crate) async fn prefixed(server: SocketAddr, bytes: &[u8]) -> SocketAddr {
    let (listener, wrapper) = Wrapper::listen().await;
    let bytes = bytes.to_vec();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            let bytes = bytes.clone();
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(server).await else { return };
                let _ = to.write_all(&bytes).await;
                let _ = copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    wrapper.address
}
