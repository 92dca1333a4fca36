//! A door before an origin that can be slow, or lead nowhere.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;

/// What a door does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// It lets pass.
    Open,
    /// What comes back is two seconds late.
    Late,
    /// Nobody is let in, and who was in hears nothing: connections are not even made once the kernel has
    /// its two that wait.
    BlackHole,
}

/// A door.
pub(crate) struct Front {
    address: SocketAddr,
    door: watch::Sender<Door>,
}

impl Front {
    /// Before the origin.
    pub(crate) fn before(origin: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        socket.listen(1).unwrap();
        let listener = TcpListener::from_std(socket.into()).unwrap();
        let address = listener.local_addr().unwrap();
        let (door, watched) = watch::channel(Door::Open);
        tokio::spawn(async move {
            let mut seen = watched.clone();
            loop {
                seen.wait_for(|door| *door != Door::BlackHole).await.unwrap();
                tokio::select! {
                    accepted = listener.accept() => {
                        let (client, _) = accepted.unwrap();
                        tokio::spawn(pass(client, origin, watched.clone()));
                    }
                    _ = seen.wait_for(|door| *door == Door::BlackHole) => {}
                }
            }
        });
        Self { address, door }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, it is so.
    pub(crate) fn is(&self, door: Door) {
        self.door.send_replace(door);
    }
}

async fn pass(mut client: TcpStream, origin: SocketAddr, mut door: watch::Receiver<Door>) {
    let Ok(mut origin) = TcpStream::connect(origin).await else { return };
    let (mut there, mut back) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            read = client.read(&mut there) => match read {
                Ok(n @ 1..) => {
                    // What goes into the hole stays there.
                    if door.wait_for(|door| *door != Door::BlackHole).await.is_err()
                        || origin.write_all(&there[..n]).await.is_err()
                    {
                        return;
                    }
                }
                _ => return,
            },
            read = origin.read(&mut back) => match read {
                Ok(n @ 1..) => {
                    if *door.borrow() == Door::Late {
                        // The fault itself, not a wait for something.
                        sleep(Duration::from_secs(2)).await;
                    }
                    if client.write_all(&back[..n]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
        }
    }
}
