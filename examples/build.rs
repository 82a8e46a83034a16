//! Compiles the protocol of the gRPC example, without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=greeter.proto");
    let protocol = protox::compile(["greeter.proto"], ["."])?;
    tonic_prost_build::configure().compile_fds(protocol)?;
    Ok(())
}
