//! What the documents show, taken out of them and typed: blocks of files and of commands, and rows of tables.

use std::fs;
use std::path::Path;

use crate::support::{Project, Ran, ran};

/// A part of a document, from its heading to the next.
pub struct Section {
    /// Without the marks.
    pub heading: String,
    /// Its blocks of code.
    pub blocks: Vec<Block>,
}

/// A block of code: what stands behind the first fence, and the text.
pub struct Block {
    pub info: String,
    pub text: String,
}

impl Block {
    /// The name of the file that the block is, if it is one.
    fn file(&self) -> Option<&str> {
        self.info.split_once(' ').map(|(_, name)| name)
    }
}

/// The sections of a document in `docs`.
pub fn sections(name: &str) -> Vec<Section> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    let text = fs::read_to_string(path).expect("read a document");
    let mut sections: Vec<Section> = Vec::new();
    let mut block: Option<Block> = None;
    for line in text.lines() {
        match (&mut block, line.strip_prefix("```")) {
            (None, Some(info)) => {
                let (info, text) = (info.to_owned(), String::new());
                block = Some(Block { info, text });
            }
            (Some(_), Some(_)) => {
                let section = sections.last_mut().expect("a heading before the first block");
                section.blocks.extend(block.take());
            }
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, None) if line.starts_with("## ") => sections.push(Section {
                heading: line[3..].to_owned(),
                blocks: Vec::new(),
            }),
            (None, None) => {}
        }
    }
    assert!(block.is_none(), "{name}: a block does not end");
    sections
}

/// Does what a section says, in the repository: writes its files, and types its commands one block after the other.
pub fn follow(project: &Project, section: &Section) -> Vec<Ran> {
    let mut typed = Vec::new();
    for block in &section.blocks {
        match (block.file(), block.info.as_str()) {
            (Some(file), _) => project.write(file, &block.text),
            (None, "sh") => typed.push(ran(project.command("sh").args(["-ec", &block.text]))),
            (None, other) => panic!(
                "{}: a block of {other:?} is neither a file nor commands",
                section.heading
            ),
        }
    }
    typed
}

/// Makes `pleach` and what lies beside the repository commands of this project, and `script` its agent: a shell script that is given the prompt in `$prompt`
/// and answers with directives for the scripted agent.
pub fn with_agent(project: &mut Project, script: &str) {
    let pleach = env!("CARGO_BIN_EXE_pleach");
    let agent = project.program(
        "stand-in",
        &format!("prompt=$(cat)\nanswer() {{\n{script}\n}}\nanswer | exec '{pleach}' __agent \"$@\""),
    );
    project.set("CLAUDE_CLI_PATH", &agent);
    let own = Path::new(pleach).parent().expect("a directory").display().to_string();
    let path = std::env::var("PATH").expect("PATH");
    let beside = project.root().display().to_string();
    project.set("PATH", &format!("{own}:{beside}:{path}"));
}
