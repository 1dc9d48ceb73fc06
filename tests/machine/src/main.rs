//! Prints what comes of the artifacts in the folder that it is given.

mod behaviour;

fn main() -> wasmc_loader::Result<()> {
    let folder = std::env::args_os().nth(1).expect("the folder with the artifacts");
    print!("{}", behaviour::transcript(folder.as_ref())?);
    Ok(())
}
