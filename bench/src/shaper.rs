//! A slower network: a port in front of another one that holds back what passes by a delay and a rate.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Bytes taken at a time.
const PIECE: usize = 16 * 1024;
/// Pieces under way in one direction at most.
const UNDER_WAY: usize = 1024;

/// What a link is like; the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Time there and back.
    pub round_trip: Duration,
    /// Megabits a second, if limited.
    pub mbit_per_s: Option<f64>,
}

/// Listens on a free port of this machine and passes everything on to `target`, until dropped.
pub(crate) struct Shaped {
    pub(crate) address: SocketAddr,
    _tasks: JoinSet<()>,
}

impl Shaped {
    pub(crate) async fn before(target: SocketAddr, link: Link) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut links = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                links.spawn(async move {
                    // a side that is gone ends the other, as a cut line would
                    let _ = pass(near, target, link).await;
                });
            }
        });
        Ok(Self {
            address,
            _tasks: tasks,
        })
    }
}

async fn pass(near: TcpStream, target: SocketAddr, link: Link) -> io::Result<()> {
    let far = TcpStream::connect(target).await?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let (near_in, near_out) = near.into_split();
    let (far_in, far_out) = far.into_split();
    tokio::try_join!(way(near_in, far_out, link), way(far_in, near_out, link)).map(drop)
}

/// One direction: a piece leaves the sender when the line is free, and arrives half a round trip later.
async fn way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    link: Link,
) -> io::Result<()> {
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut free = Instant::now();
        loop {
            let mut piece = vec![0; PIECE];
            let n = from.read(&mut piece).await?;
            if n == 0 {
                return Ok::<_, io::Error>(());
            }
            piece.truncate(n);
            free = free.max(Instant::now());
            if let Some(mbit) = link.mbit_per_s {
                free += Duration::from_secs_f64(n as f64 * 8.0 / (mbit * 1e6));
                sleep_until(free).await;
            }
            if send
                .send((free + link.round_trip / 2, piece))
                .await
                .is_err()
            {
                return Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, piece)) = receive.recv().await {
            sleep_until(due).await;
            to.write_all(&piece).await?;
        }
        to.shutdown().await
    };
    tokio::try_join!(read, write).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_arrive_whole_and_not_before_their_time() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let target = listener.local_addr().unwrap();
        let link = Link {
            round_trip: Duration::from_millis(60),
            mbit_per_s: Some(8.0),
        };
        let shaped = Shaped::before(target, link).await.unwrap();
        let echo = tokio::spawn(async move {
            let (mut s, _) = listener.accept().await.unwrap();
            let mut got = vec![0; 100_000];
            s.read_exact(&mut got).await.unwrap();
            s.write_all(b"done").await.unwrap();
            got
        });
        let sent: Vec<u8> = (0..100_000u32).map(|i| (i % 251) as u8).collect();
        let start = Instant::now();
        let mut s = TcpStream::connect(shaped.address).await.unwrap();
        s.write_all(&sent).await.unwrap();
        let mut said = [0; 4];
        s.read_exact(&mut said).await.unwrap();
        // 100,000 bytes at a million a second, and a round trip
        assert!(start.elapsed() >= Duration::from_millis(155));
        assert_eq!(echo.await.unwrap(), sent);
    }
}
