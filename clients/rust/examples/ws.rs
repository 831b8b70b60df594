//! A WebSocket client for the terminal: sends each line of its input as a frame, prints each frame that it hears.
//!
//! `ACCESS_TOKEN=… ws 'ws://127.0.0.1:8080/ws?device_id=tv'`. It knows nothing of Streamz but how to send the token;
//! for a client that keeps the rules of the protocol, see the example `listen`.

use std::env;
use std::error::Error;
use std::io::{self, BufRead, Write};

use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Not an argument: those can be read by everybody on the machine.
    let (Some(url), Ok(token)) = (env::args().nth(1), env::var("ACCESS_TOKEN")) else {
        return Err("usage: ACCESS_TOKEN=… ws URL".into());
    };
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let mut lines = lines_of_input();
    loop {
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => socket.send(Message::text(line)).await?,
                None => break,
            },
            heard = socket.next() => match heard.transpose()? {
                // Pings are answered by the library, while this loop reads.
                Some(Message::Text(text)) => writeln!(io::stdout(), "{text}")?,
                Some(Message::Close(Some(frame))) => eprintln!("closed: {} {}", frame.code, frame.reason),
                Some(_) => {}
                None => return Ok(()),
            },
        }
    }
    socket.close(None).await?;
    Ok(())
}

/// Reads the input on a thread of its own: a terminal cannot be waited for in any other way. The thread ends with
/// the program.
fn lines_of_input() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if !line.trim().is_empty() && sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
