//! Compiles the .proto files with protox: no protoc binary is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = [
        "proto/paripassu/audit/v1/transcript.proto",
        "proto/paripassu/control/v1/job.proto",
        "proto/paripassu/control/v1/node.proto",
        "proto/paripassu/exchange/v1/frame.proto",
    ];
    let descriptors = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure()
        // `bytes` fields become `bytes::Bytes`: no copy out of the receive buffer.
        .bytes(".")
        .compile_fds(descriptors)?;
    Ok(())
}
