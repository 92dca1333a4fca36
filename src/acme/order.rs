//! One order: account, questions and their answers, key and chain (RFC 8555 §7).

use std::io;
use std::time::Duration;

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, ExternalAccountKey,
    Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};

use super::state;
use crate::config::model::{Acme, AcmeChallenge, Managed};
use crate::tls::{Challenge, Challenges, Fault, Identity};

/// How the authority is asked whether it has got further.
const PATIENCE: RetryPolicy = RetryPolicy::new().timeout(Duration::from_mins(2));

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The authority cannot be reached, or says no.
    #[error("{0}")]
    Authority(#[from] instant_acme::Error),
    /// What is wrong with a name, in the authority's words.
    #[error("{name}: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why it is not believed to be ours.
        why: String,
    },
    /// The authority does not ask in the way that is configured.
    #[error("the authority does not ask by {0}")]
    OtherQuestion(&'static str),
    /// The order ended otherwise than by a certificate.
    #[error("the order is {0:?}")]
    Ended(OrderStatus),
    /// What came is no certificate for the key.
    #[error("what came {0}")]
    NoIdentity(#[from] Fault),
    /// The answer within a handshake could not be made.
    #[error("an answer could not be made: {0}")]
    Answer(#[from] rcgen::Error),
    /// A file of the state cannot be read or written.
    #[error("the state cannot be kept: {0}")]
    State(#[from] io::Error),
    /// It took too long.
    #[error("it took too long")]
    TooLong,
}

/// Orders a certificate and stores it.
pub(super) async fn order(
    acme: &Acme,
    managed: &Managed,
    challenges: &Challenges,
) -> Result<Identity, Error> {
    let account = account(acme).await?;
    let names: Vec<_> = managed.names.iter().cloned().map(Identifier::Dns).collect();
    let mut order = account.new_order(&NewOrder::new(&names)).await?;
    let mut answers = Vec::new();
    let mut questions = order.authorizations();
    while let Some(question) = questions.next().await {
        let mut question = question?;
        // What was answered lately need not be answered again.
        if question.status == AuthorizationStatus::Valid {
            continue;
        }
        let (kind, word) = match acme.challenge {
            AcmeChallenge::Http => (ChallengeType::Http01, "http-01"),
            AcmeChallenge::TlsAlpn => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        };
        let mut challenge = question.challenge(kind).ok_or(Error::OtherQuestion(word))?;
        let key = challenge.key_authorization();
        answers.push(match acme.challenge {
            AcmeChallenge::Http => {
                Challenge::Http { token: challenge.token.clone(), answer: key.as_str().to_owned() }
            }
            AcmeChallenge::TlsAlpn => {
                let name = challenge.identifier().to_string();
                within_handshake(name, key.digest().as_ref())?
            }
        });
        challenges.set(answers.clone());
        challenge.set_ready().await?;
    }
    let status = order.poll_ready(&PATIENCE).await?;
    if status != OrderStatus::Ready {
        return Err(refused(&mut order).await.unwrap_or(Error::Ended(status)));
    }
    let key = order.finalize().await?;
    let chain = order.poll_certificate(&PATIENCE).await?;
    let identity = Identity::read(chain.as_bytes(), key.as_bytes(), None)?;
    state::store(managed.file.clone(), [key, chain].concat().into_bytes()).await?;
    Ok(identity)
}

/// What the authority says of a name that it does not believe to be ours.
async fn refused(order: &mut instant_acme::Order) -> Option<Error> {
    let mut questions = order.authorizations();
    while let Some(Ok(mut question)) = questions.next().await {
        let Ok(state) = question.refresh().await else { continue };
        let why = state.challenges.iter().find_map(|one| one.error.as_ref());
        if let Some(why) = why {
            return Some(Error::Name {
                name: state.identifier().to_string(),
                why: why.to_string(),
            });
        }
    }
    None
}

/// The account with the authority, made when there is none.
async fn account(acme: &Acme) -> Result<Account, Error> {
    let builder = match &acme.ca {
        Some(file) => Account::builder_with_root(file)?,
        None => Account::builder()?,
    };
    let file = acme.folder.join("account.json");
    if let Some(bytes) = state::read(file.clone()).await? {
        let credentials: AccountCredentials =
            serde_json::from_slice(&bytes).map_err(io::Error::from)?;
        return Ok(builder.from_credentials(credentials).await?);
    }
    let contact: Vec<String> = acme.contact.iter().map(|one| format!("mailto:{one}")).collect();
    let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
    // The configuration says so, or it is refused.
    let terms_of_service_agreed = true;
    let external = acme.external.as_ref();
    let external = external.map(|one| ExternalAccountKey::new(one.id.clone(), &one.key));
    let account =
        NewAccount { contact: &contact, terms_of_service_agreed, only_return_existing: false };
    let (account, credentials) =
        builder.create(&account, acme.directory.clone(), external.as_ref()).await?;
    state::store(file, serde_json::to_vec(&credentials).map_err(io::Error::from)?).await?;
    Ok(account)
}

/// The certificate with an answer in it (RFC 8737 §3).
fn within_handshake(name: String, digest: &[u8]) -> Result<Challenge, Error> {
    let mut parameters = CertificateParams::new([name.clone()])?;
    parameters.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?;
    Ok(Challenge::within_handshake(name, certificate.der().to_vec(), key.serialize_der())?)
}
