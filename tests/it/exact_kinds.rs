//! Plans are exact for every kind of conflict.

use crate::exact_case::{CASE, Case, show_exact};

#[test]
fn what_is_in_files() {
    show_exact(&[
        Case {
            name: "the same lines",
            base: "lines l; lines m",
            branches: &[
                "set_line l 3 a",
                "set_line l 3 b",
                "set_line l 11 c",
                "set_line l 11 d; set_line m 1 d",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "lines side by side, and between the changes of two others",
            base: "lines l",
            branches: &["set_line l 3 a", "set_line l 4 b", "set_line l 5 c", "set_line l 8 d"],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "three of which no two conflict",
            base: "lines l 9",
            branches: &[
                "sed -i 3d l",
                "sed -i 5d l",
                "sed -i 4s/.*/c/ l; sed -i 2s/.*/c/ l",
                "lines n",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "made by both",
            branches: &[
                "lines n 3",
                "lines n 4",
                "mkdir d; echo c >d/n",
                "mkdir d; echo d >d/n",
                "lines n 3",
            ],
            says: &["CONFLICT (add/add)"],
            ..CASE
        },
        Case {
            name: "changed and deleted",
            base: "lines l; lines d/m; lines d/e/n",
            branches: &[
                "git rm -q l",
                "set_line l 3 b",
                "git rm -qr d",
                "set_line d/e/n 2 d; lines d/o",
            ],
            says: &["CONFLICT (modify/delete)"],
            ..CASE
        },
    ]);
}

#[test]
fn files_that_are_not_merged_by_lines() {
    show_exact(&[
        Case {
            name: "bytes that are no text",
            base: r"printf 'a\000b' >x; printf 'a\000b' >y; lines l",
            branches: &[
                r"printf 'a\000c' >x",
                r"printf 'a\000d' | tee x >y",
                r"printf 'a\000d' >y; printf '\000' >n",
                r"printf 'a\001' >n; printf 'l\000' >>l",
                "set_line l 3 e",
            ],
            says: &["Cannot merge binary files", "CONFLICT (content)", "CONFLICT (add/add)"],
            ..CASE
        },
        Case {
            name: "empty files, and files without a last line end",
            base: "lines l; printf 'x\ny' >m; : >e; : >f",
            branches: &[
                "printf 'x\nz' >m; echo a >e; : >n",
                "printf 'x\ny\n' >m; : >l; : >n; git mv e g",
                "printf 'w\ny' >m; set_line l 2 c; echo c >n; git mv f h",
                "rm m; : >m; git rm -q e f",
            ],
            says: &["CONFLICT (content)", "CONFLICT (modify/delete)"],
            ..CASE
        },
        Case {
            name: "the same changes, and the same heads",
            base: "lines l; lines m",
            branches: &[
                "set_line l 3 x",
                "set_line l 3 x",
                "git reset -q --hard a",
                "git mv m n",
                "git mv m n",
            ],
            ..CASE
        },
    ]);
}

#[test]
fn modes_and_types() {
    show_exact(&[
        Case {
            name: "executable",
            base: "lines l; lines m; chmod +x m",
            branches: &[
                "chmod +x l; chmod -x m",
                "chmod +x l; set_line l 3 b",
                "set_line l 5 c; set_line m 5 c",
                "git rm -q m",
                "chmod -x m; git mv l n",
            ],
            says: &["CONFLICT (modify/delete)"],
            ..CASE
        },
        Case {
            name: "made by both, executable for one",
            branches: &["lines n; chmod +x n", "lines n", "lines n 3"],
            says: &["CONFLICT (add/add)"],
            ..CASE
        },
        Case {
            name: "links that both change",
            base: "ln -s x l; ln -s x m; lines n",
            branches: &[
                "ln -sf y l",
                "ln -sf z l",
                "ln -sf z l; ln -s p o",
                "git rm -q m; ln -s q o",
                "ln -sf w m",
            ],
            says: &["CONFLICT (content)", "CONFLICT (add/add)", "CONFLICT (modify/delete)"],
            ..CASE
        },
        Case {
            name: "a file becomes a link",
            base: "lines l; lines m; ln -s m k",
            branches: &[
                "rm l; ln -s m l",
                "set_line l 3 b",
                "rm k; lines k",
                "ln -sf other k",
                "git mv l moved",
            ],
            says: &["CONFLICT (distinct types)"],
            ..CASE
        },
    ]);
}

#[test]
fn submodules_and_links() {
    show_exact(&[
        Case {
            name: "file and link made by both",
            branches: &["ln -s x n", "lines n", "mkdir n; lines n/x"],
            says: &["CONFLICT (distinct types)", "CONFLICT (file/directory)"],
            ..CASE
        },
        Case {
            name: "submodules",
            base: "module() { git update-index --add --cacheinfo 160000,$1,s; mkdir -p s; }
                git init -q ../sub; git -C ../sub commit -q --allow-empty -m one
                one=$(git -C ../sub rev-parse HEAD); git -C ../sub commit -q --allow-empty -m two
                two=$(git -C ../sub rev-parse HEAD); three=3333333333333333333333333333333333333333
                keep() { git add -A -- . ':!s'; git diff --cached --quiet || git commit -qm $1; }
                module $one",
            branches: &[
                "module $two",
                "module $three",
                "module $two; lines l",
                "git rm -q --cached s; git commit -qm gone; rmdir s; lines s; git add s",
                "git rm -q --cached s",
            ],
            says: &["CONFLICT (submodule)", "CONFLICT (modify/delete)"],
            ..CASE
        },
        Case {
            name: "submodules whose commits are there",
            base: "module() { git -C s checkout -q $1; git add s; }
                git init -q s; git -C s commit -q --allow-empty -m one
                one=$(git -C s rev-parse HEAD); git -C s commit -q --allow-empty -m two
                two=$(git -C s rev-parse HEAD); git -C s commit -q --allow-empty -m three
                three=$(git -C s rev-parse HEAD); git -C s checkout -q $one
                git -C s commit -q --allow-empty -m other; other=$(git -C s rev-parse HEAD)
                printf '[submodule \"s\"]\npath = s\nurl = ../s\n' >.gitmodules
                module $one; git submodule -q absorbgitdirs 2>/dev/null",
            branches: &["module $two", "module $three", "module $other", "lines l"],
            says: &["CONFLICT (submodule)"],
            ..CASE
        },
    ]);
}

#[test]
fn renames() {
    show_exact(&[
        Case {
            name: "to two names",
            squashed: true,
            base: "lines l; lines m",
            branches: &[
                "git mv l n",
                "git mv l o",
                "set_line l 3 c",
                "git mv l n; set_line n 9 d",
            ],
            says: &["CONFLICT (rename/rename)"],
            ..CASE
        },
        Case {
            name: "two to one name",
            base: "lines l; lines m",
            branches: &[
                "git mv l n",
                "git mv m n",
                "set_line l 3 c; set_line m 3 c",
                "git mv l n; set_line n 5 d",
            ],
            says: &["CONFLICT (add/add)"],
            ..CASE
        },
        Case {
            name: "renamed and deleted",
            base: "lines l; lines m; lines k",
            branches: &[
                "git mv l n",
                "git rm -q l",
                "git mv l n; set_line n 2 c",
                "git rm -q l m",
                "git mv m o",
            ],
            says: &["CONFLICT (rename/delete)"],
            ..CASE
        },
        Case {
            name: "renamed to a name that another makes",
            base: "lines l",
            branches: &[
                "git mv l n",
                "lines n 20",
                "mkdir n; lines n/o",
                "set_line l 3 d; echo n >n",
            ],
            says: &["CONFLICT (add/add)", "CONFLICT (file/directory)"],
            ..CASE
        },
    ]);
}

#[test]
fn renames_that_are_not_followed() {
    show_exact(&[
        Case {
            name: "names that change places",
            base: "lines l; lines m 20",
            branches: &[
                "git mv l t; git mv m l; git mv t m",
                "set_line l 3 b",
                "set_line m 3 c",
                "git mv l n; lines l 5",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            // Some versions of git heed neither of these two settings.
            name: "switched off",
            base: "lines l; git config merge.renames false",
            branches: &["git mv l m", "set_line l 3 b", "git mv l n", "lines m"],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "switched off for diffs",
            base: "lines l; git config diff.renames false",
            branches: &["git mv l m", "set_line l 3 b", "git mv l n"],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "with copies",
            base: "lines l; lines d/m; lines d/n; git config diff.renames copies",
            branches: &["cp l k; set_line l 1 a", "set_line l 3 b", "git mv d e", "lines d/o"],
            says: &["CONFLICT (file location)"],
            ..CASE
        },
        Case {
            name: "too many for the limit",
            base: "for i in 1 2 3 4; do lines f$i; done; git config merge.renameLimit 1",
            branches: &[
                "for i in 1 2 3 4; do git mv f$i g$i; set_line g$i 2 a; done",
                "set_line f1 9 b; set_line f2 9 b",
                "git mv f3 h; set_line h 2 a",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "with changes that make it no rename",
            base: "lines l 4; lines m 6",
            branches: &[
                "git mv l n; printf 'p\nq\nr\n' >>n",
                "set_line l 1 b; set_line l 2 b",
                "git mv m o; sed -i 1,3d o",
                "sed -i '4,6d' m; git mv l p",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "of names that differ in case",
            base: "lines l; lines d/m; git config core.ignoreCase true",
            branches: &[
                "git mv l L",
                "set_line l 3 b",
                "git mv d D",
                "lines d/n",
                "git mv l L; set_line L 3 e",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
    ]);
}

#[test]
fn directories() {
    show_exact(&[
        Case {
            name: "file and directory",
            base: "lines l",
            branches: &[
                "echo a >d",
                "mkdir d; lines d/b",
                "mkdir -p d/e; lines d/e/c",
                "echo d >d; mkdir f; lines f/g",
                "echo e >d; echo f >f",
            ],
            says: &["CONFLICT (file/directory)", "CONFLICT (add/add)"],
            ..CASE
        },
        Case {
            name: "a file makes place for a directory, and the other way",
            base: "lines l; lines d/m; lines d/e/n",
            branches: &[
                "git rm -q l; mkdir l; lines l/x",
                "set_line l 3 b",
                "git rm -qr d; echo c >d",
                "set_line d/e/n 3 d",
                "lines d/o; git mv d/m k",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "a new file in a directory that moved",
            squashed: true,
            base: "lines d/l; lines d/m; lines d/s/n",
            branches: &[
                "git mv d e",
                "lines d/new",
                "mkdir d/s/t; lines d/s/t/new",
                "git mv d f",
                "lines e/new 3",
            ],
            says: &["CONFLICT (file location)", "CONFLICT"],
            ..CASE
        },
        Case {
            name: "the same, and it moves too",
            base: "lines d/l; lines d/m; lines d/s/n; lines k; git config merge.directoryRenames true",
            branches: &[
                "git mv d e",
                "lines d/new",
                "mkdir d/s/t; lines d/s/t/new",
                "lines e/new 3",
                "git mv k d/k",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "the same, and nothing follows",
            base: "lines d/l; lines d/m; git config merge.directoryRenames false",
            branches: &["git mv d e", "lines d/new", "set_line d/l 3 c", "git mv d/l d/k"],
            says: &["CONFLICT (rename/rename)"],
            ..CASE
        },
    ]);
}

#[test]
fn directories_that_are_split_or_joined() {
    show_exact(&[
        Case {
            name: "split in two",
            squashed: true,
            base: "for i in 1 2 3 4; do lines d/f$i; done",
            branches: &[
                "mkdir p q; git mv d/f1 d/f2 p; git mv d/f3 d/f4 q",
                "lines d/new",
                "mkdir p; git mv d/f1 d/f2 d/f3 d/f4 p",
                "mkdir p q; git mv d/f1 d/f2 d/f3 p; git mv d/f4 q",
            ],
            says: &["CONFLICT (directory rename split)"],
            ..CASE
        },
        Case {
            name: "moved, and moved on",
            base: "lines d/l; lines d/m; lines e/n; lines e/o; git config merge.directoryRenames true",
            branches: &[
                "git mv d f",
                "git mv e/n d/n; git mv e/o d/o",
                "lines e/new",
                "lines d/new",
                "git mv f d || lines f/x",
            ],
            says: &["CONFLICT (add/add)"],
            ..CASE
        },
        Case {
            name: "into each other",
            base: "lines d/l; lines d/m; lines e/n; lines e/o",
            branches: &["git mv d e/d", "git mv e d/e", "lines d/new", "lines e/new"],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "to the root",
            base: "lines d/l; lines d/m",
            branches: &["git mv d/l d/m .", "lines d/n", "set_line d/l 3 c", "lines l 3"],
            says: &["CONFLICT (file location)", "CONFLICT"],
            ..CASE
        },
        Case {
            name: "two new files would come to one place",
            base: "lines d/l; lines e/m; git config merge.directoryRenames true",
            branches: &[
                "git mv d/l f || { mkdir f; git mv d/l f/l; git mv e/m f/m; }; mkdir -p g; git mv f g/f",
                "lines d/new; lines e/new 4",
                "lines d/l2",
            ],
            says: &[],
            ..CASE
        },
        Case {
            name: "both move what the other adds to",
            base: "lines d/l; lines d/m; lines e/n; lines e/o",
            branches: &[
                "git mv d dd; lines e/new",
                "git mv e ee; lines d/new",
                "lines d/x; lines e/y",
            ],
            says: &["CONFLICT (file location)"],
            ..CASE
        },
    ]);
}
