//! How long a file, a function and a line may be.

use crate::assert_none;
use crate::source::{files, functions, is_test_only, production_of, read};

const COLUMNS_MAX: usize = 100;

/// The most lines of a file and of a function.
struct Limits {
    file: usize,
    function: usize,
}

const SHIPPED: Limits = Limits { file: 395, function: 52 };
const OF_TESTS: Limits = Limits { file: 400, function: 70 };

/// Code that ships is measured without its tests; the files of tests are measured whole.
#[test]
fn files_and_functions_stay_short() {
    let files = ["src", "kit", "tests"].iter().flat_map(|it| files(it, "rs"));
    let faults: Vec<_> =
        files.flat_map(|file| too_long(&file, &measured(&file), limits(&file))).collect();
    assert_none(&faults);
}

fn measured(file: &str) -> String {
    if is_test_only(file) { read(file) } else { production_of(file) }
}

fn limits(file: &str) -> &'static Limits {
    if file.starts_with("src/") && !is_test_only(file) { &SHIPPED } else { &OF_TESTS }
}

fn too_long(file: &str, source: &str, limits: &Limits) -> Vec<String> {
    let mut faults = Vec::new();
    let lines = source.lines().count();
    if lines > limits.file {
        faults.push(format!("{file}: {lines} lines, {} allowed", limits.file));
    }
    for (number, name, length) in functions(source) {
        if length > limits.function {
            let limit = format!("{} allowed", limits.function);
            faults.push(format!("{file}:{number}: {name} has {length} lines, {limit}"));
        }
    }
    faults
}

#[test]
fn lines_fit_in_a_hundred_columns() {
    const ROOTS: &[&str] = &["src", "kit", "tests", "benches", "examples", "fuzz"];
    let mut faults = Vec::new();
    for file in ROOTS.iter().flat_map(|it| files(it, "rs")) {
        for (index, line) in read(&file).lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                faults.push(format!("{file}:{}: over {COLUMNS_MAX} columns", index + 1));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn a_file_and_its_functions_are_measured() {
    assert_eq!(too_long("a.rs", &"//\n".repeat(400), &OF_TESTS), Vec::<String>::new());
    assert_eq!(too_long("a.rs", &"//\n".repeat(401), &OF_TESTS), ["a.rs: 401 lines, 400 allowed"]);
    let function = format!("fn f() {{\n{}}}\n", "    a();\n".repeat(69));
    assert_eq!(too_long("a.rs", &function, &OF_TESTS), ["a.rs:1: f has 71 lines, 70 allowed"]);
}
