//! Draws every report from invented records, to be looked at:
//! `cargo run -p lowbit-reports --example gallery -- target/gallery`.
#[path = "../tests/it/gallery.rs"]
mod gallery;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a folder to write into")?;
    let sized = [1, 2, 12, 40].map(|n| (format!("{n}-cases"), gallery::records(n)));
    for (name, records) in sized.into_iter().chain([("long".into(), gallery::long_records())]) {
        let folder = std::path::Path::new(&folder).join(name);
        std::fs::create_dir_all(&folder)?;
        for path in lowbit_reports::write_report(&folder, &gallery::run(), &records)? {
            println!("{}", path.display());
        }
        std::fs::write(
            folder.join("table.txt"),
            lowbit_reports::table::summary_table(&records, false),
        )?;
    }
    Ok(())
}
