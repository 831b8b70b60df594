//! Signs in and prints what happens: `cargo run -p streamz-client --example listen -- ada@example.org PASSWORD`.
//!
//! The account is made if there is none; `STREAMZ_URL` names another server than the one on this machine.

use std::env;
use std::error::Error;

use streamz_client::{Api, Client, DeviceId, TokenSource};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(email), Some(password)) = (arguments.next(), arguments.next()) else {
        return Err("usage: listen EMAIL PASSWORD [DEVICE_ID]".into());
    };
    let device = DeviceId::new(&arguments.next().unwrap_or_else(|| "listener".to_owned()))?;
    let url = env::var("STREAMZ_URL").unwrap_or_else(|_| "http://127.0.0.1:8080".to_owned());

    let api = Api::new(&url)?;
    match api.register(&email, &password, None, None).await {
        Ok(_) => println!("registered {email}"),
        Err(error) if error.status() == Some(409) => {}
        Err(error) => return Err(error.into()),
    }
    let token = TokenSource::login(api, &email, &password);
    let (client, mut events) = Client::builder(&url, device, token).connect().await?;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => println!("{event:?}"),
                None => return Err(format!("{:?}", *client.state().borrow()).into()),
            },
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    client.close().await;
    Ok(())
}
