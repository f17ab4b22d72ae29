//! Plans are exact whatever surrounds the branches: attributes, settings, how they came about, names, and the
//! repository itself.

use crate::exact_case::{CASE, Case, show_exact};

#[test]
fn attributes() {
    show_exact(&[
        Case {
            name: "union, chosen by a branch",
            squashed: true,
            base: "lines l; lines d/m",
            branches: &[
                "set_line l 3 a; set_line d/m 3 a",
                "echo '* merge=union' >.gitattributes; set_line l 9 b",
                "echo 'm merge=union' >d/.gitattributes",
                "set_line l 3 d; set_line d/m 3 d",
                "set_line l 9 e",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "a driver of the user's, and what merges the bases",
            base: "lines l; lines m; git config merge.longest.driver 'cat %A %B | sort -u >%A.new && mv %A.new %A'
                git config merge.longest.recursive binary; git config merge.fails.driver 'exit 1'
                printf 'l merge=longest\nm merge=fails\n' >.gitattributes",
            branches: &[
                "set_line l 3 a; set_line m 2 a",
                "set_line l 3 b",
                "set_line m 2 c",
                "set_line l 3 d; rm .gitattributes",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "a driver that is told the path",
            base: "lines l; git config merge.names.driver 'echo %P %L >>%A'; echo 'l merge=names' >.gitattributes",
            branches: &["set_line l 3 a", "set_line l 3 b", "git mv l n; set_line n 5 c"],
            ..CASE
        },
        Case {
            name: "a driver that some branch chooses, and that is the default",
            base: "lines l; lines m; git config merge.ours.driver true; git config merge.default ours",
            branches: &[
                "set_line l 3 a; echo 'l merge' >.gitattributes",
                "set_line l 3 b; set_line m 3 b",
                "set_line m 3 c; set_line l 5 c",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
    ]);
}

#[test]
fn attributes_that_lie_elsewhere() {
    show_exact(&[
        Case {
            name: "no merge, no text, binary, and longer markers",
            base: "for i in 1 2 3 4; do lines f$i; done
                printf 'f1 -merge\nf2 -text\nf3 binary\nf4 conflict-marker-size=20\n' >.gitattributes",
            branches: &[
                "for i in 1 2 3 4; do set_line f$i 3 a; done",
                "for i in 1 2 3 4; do set_line f$i 9 b; done",
                "for i in 2 4; do set_line f$i 3 c; done",
            ],
            says: &["Cannot merge binary files", "CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "of the repository and of the user, and macros",
            base: "lines l; lines m; lines n; echo 'l merge=union' >.git/info/attributes
                printf '[attr]mine -merge\nm mine\nn merge=union\n' >../attributes; git config core.attributesFile \"$PWD/../attributes\"",
            branches: &[
                "for f in l m n; do set_line $f 3 a; done",
                "for f in l n; do set_line $f 3 b; done; set_line m 9 b",
                "echo 'n -merge' >.gitattributes",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "that lie in the checkout only",
            base: "lines l; lines m; echo 'l -text' >.gitattributes",
            branches: &["set_line l 3 a", "set_line l 3 b; lines n", "set_line m 3 c", "set_line m 9 d"],
            after: "echo '* merge=union' >.gitattributes; mkdir d; echo '* -merge' >d/.gitattributes; git add d",
            says: &["CONFLICT (content)"],
            ..CASE
        },
    ]);
}

#[test]
fn line_ends_and_filters() {
    show_exact(&[
        Case {
            name: "line ends that are made the same",
            base: r"git config merge.renormalize true; printf '1\r\n2\r\n3\r\n4\r\n5\r\n' >l",
            branches: &[
                r"echo '* text=auto' >.gitattributes; printf '1\n2\n3\n4\nfive\n' >l; git add --renormalize .",
                r"printf '1\r\ntwo\r\n3\r\n4\r\n5\r\n' >l",
                r"printf '1\r\n2\r\n3\r\n4\r\nV\r\n' >l",
                "git rm -q l",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "attributes that come of the merge, and lie in directories",
            base: r"git config merge.renormalize true; lines l; lines d/m; printf '* -text\n' >d/.gitattributes
                printf '*.x text\n' >.gitattributes",
            branches: &[
                "printf '* merge=union\n' >.gitattributes; set_line l 3 a; set_line d/m 3 a",
                "set_line l 3 b; printf '* merge=union\n' >d/.gitattributes",
                "set_line d/m 3 c",
                "git rm -q .gitattributes; set_line l 3 d",
                "ln -sf nowhere d/.gitattributes; sed -i 's/$/\r/' d/m",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "line ends that are not",
            base: r"printf '1\r\n2\r\n3\r\n' >l; lines m; printf 'm text eol=crlf ident\n' >.gitattributes",
            branches: &[
                r"printf '1\n2\n3\n' >l",
                r"printf '1\r\n2\r\nIII\r\n' >l",
                "set_line m 3 c",
                "set_line m 3 d; set_line m 7 '$Id$'",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "filters",
            base: "git config filter.upper.clean 'tr a-z A-Z'; git config filter.upper.smudge 'tr A-Z a-z'
                git config merge.renormalize true; lines l; lines m; echo 'm filter=upper' >.gitattributes",
            branches: &[
                "set_line l 3 a; set_line m 3 a",
                "echo '* filter=upper' >.gitattributes; git add --renormalize .",
                "set_line l 7 c; set_line m 3 c",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
    ]);
}

#[test]
fn settings() {
    show_exact(&[
        Case {
            name: "white space, and line ends of the platform",
            base: "lines l; git config core.whitespace trailing-space,cr-at-eol; git config core.autocrlf true; git config apply.ignoreWhitespace change",
            branches: &["sed -i 's/$/  /' l", "set_line l 3 b", "sed -i 's/^/\t/' l", "lines n"],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "what merges would refuse or do otherwise",
            base: "lines l; git config merge.ff only; git config merge.stat false; git config merge.log true
                git config pull.rebase true; git config merge.autoStash true; git config rerere.enabled true",
            branches: &["set_line l 3 a", "set_line l 3 b", "set_line l 9 c"],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "another object format of markers, and no colours",
            base: "lines l; git config color.ui always; git config core.quotePath false; git config core.abbrev 20; git config diff.noprefix true",
            branches: &["set_line l 3 a", "set_line l 3 b", "git mv l m"],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "patience and minimal",
            base: "printf '%s\\n' a b c d e a b c d e >l; git config diff.algorithm patience; git config diff.indentHeuristic false",
            branches: &[
                "sed -i '3,5d' l",
                "sed -i '6i x' l",
                "printf '%s\\n' a b x c d e >l",
                "sed -i '9a y' l",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
    ]);
}

#[test]
fn conflict_styles() {
    show_exact(&[
        Case {
            name: "conflict styles",
            base: "lines l; git config merge.conflictStyle diff3",
            branches: &["set_line l 3 a; set_line l 5 a", "set_line l 3 a; set_line l 5 b"],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "conflict styles that leave out what both say",
            base: "lines l; git config merge.conflictStyle zdiff3",
            branches: &[
                "printf 'p\nq\na\ns\n' >l",
                "printf 'p\nq\nb\ns\n' >l",
                "printf 'p\nq\nc\n' >l",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "histogram",
            base: "lines l; git config diff.algorithm histogram",
            branches: &[
                "{ sed -n 1,6p l; echo; seq 3; echo; sed -n 7,12p l; } >t; mv t l",
                r"sed -i '6s/$/\n\n/' l",
                "sed -i 's/of/by/' l",
            ],
            says: &["CONFLICT (content)"],
            ..CASE
        },
    ]);
}

#[test]
fn histories() {
    show_exact(&[
        Case {
            name: "a branch that contains another, and the target's end",
            base: "lines l; lines m",
            branches: &[
                "git reset -q --hard main; set_line l 3 a; keep a1; set_line m 3 a",
                "git reset -q --hard a; set_line l 9 b",
                "set_line l 9 c",
                "git reset -q --hard b; git rm -q l",
                "git reset -q --hard a~1; set_line m 9 e",
            ],
            after: "lines n; keep on",
            says: &["CONFLICT"],
            squashed: true,
        },
        Case {
            name: "a branch that is listed before what it contains",
            base: "lines l; git branch late",
            branches: &[
                "set_line l 3 b; keep b; git branch -f held; set_line l 5 a",
                "git reset -q --hard held; git branch -D held -q",
                "set_line l 3 c",
            ],
            says: &["CONFLICT (content)"],
            squashed: true,
            ..CASE
        },
        Case {
            name: "the target moved on, and has some of it",
            squashed: true,
            base: "lines l; lines m",
            branches: &[
                "set_line l 3 a",
                "set_line l 5 b",
                "set_line m 3 c; keep c; set_line m 9 c",
                "set_line l 3 a; keep d; lines n",
            ],
            after: "git merge -q --no-ff --no-edit a; git cherry-pick b >/dev/null; git commit -q --amend -m again
                git merge -q --squash c >/dev/null; git commit -qm squashed; lines k; keep on",
            ..CASE
        },
    ]);
}

#[test]
fn several_merge_bases() {
    show_exact(&[
        Case {
            name: "criss-cross, with bases that agree",
            base: "lines l; lines m",
            branches: &["set_line l 3 a", "set_line m 3 b", "set_line l 9 c", "set_line m 9 d"],
            after: "git checkout -q a; git merge -q --no-edit b; git checkout -q b; git merge -q --no-edit a~
                set_line l 6 b; keep more; git checkout -q a; set_line l 6 a; keep more; git checkout -q main",
            says: &["CONFLICT (content)"],
            squashed: true,
        },
        Case {
            name: "criss-cross, with bases that conflict",
            base: "lines l; lines m",
            branches: &["set_line l 3 a", "set_line l 3 b", "set_line l 9 c"],
            after: "join() { git merge -q --no-edit $1 >/dev/null || { git checkout -q $2 -- l; git commit -qm joined; }; }
                git checkout -q a; join b a; git checkout -q b; join a~ b
                set_line m 3 b; keep more; git checkout -q a; set_line m 7 a; keep more; git checkout -q main",
            says: &["CONFLICT (content)"],
            squashed: true,
        },
        Case {
            name: "criss-cross with the target, and renames and drivers",
            base: "lines l; lines d/m; lines d/n; git config merge.both.driver 'cat %B >>%A'; git config merge.both.recursive text
                echo 'l merge=both' >.gitattributes",
            branches: &["set_line l 3 a; git mv d e", "set_line l 5 b; lines d/o", "set_line d/m 3 c", "lines e/n 3"],
            after: "join() { git merge -q --no-edit $1 >/dev/null || { git checkout -q $1 -- . ; git add -A; git commit -qm joined; }; }
                set_line l 7 main; keep on; git branch old; join a; git checkout -q a; git merge -q --no-edit old; set_line l 9 more
                keep more; git checkout -q main",
            says: &["CONFLICT"],
            squashed: true,
        },
    ]);
}

#[test]
fn what_is_odd_about_the_repository() {
    show_exact(&[
        Case {
            name: "nothing in common",
            base: "lines l",
            branches: &["git checkout -q --orphan new; git branch -D a -q; git branch -m a; set_line l 3 a", "set_line l 3 b", "set_line l 9 c"],
            says: &["refusing to merge unrelated histories"],
            squashed: true,
            ..CASE
        },
        Case {
            name: "replaced commits, and one that has nothing in common",
            base: "lines l; lines m",
            branches: &[
                "set_line l 3 a; keep a1; set_line l 9 a",
                "set_line l 3 b",
                "git checkout -q --orphan new; git branch -D c -q; git branch -m c; set_line m 3 c",
                "set_line l 9 d",
                "git checkout -q --orphan late; git branch -D e -q; git branch -m e; set_line l 6 e",
            ],
            after: "git replace --graft a $base; git replace --graft e $base",
            says: &["CONFLICT (content)"],
            squashed: true,
        },
        Case {
            name: "replaced contents",
            base: "lines l; lines m",
            branches: &["set_line l 3 a", "set_line l 3 b", "set_line m 3 c"],
            after: "git replace b:l a:l 2>/dev/null || git replace $(git rev-parse b:l a:l)",
            ..CASE
        },
        Case {
            name: "a shallow repository",
            base: "lines l; keep one; set_line l 1 x; keep two; set_line l 2 y",
            branches: &["set_line l 3 a", "set_line l 3 b", "set_line l 9 c"],
            after: "git rev-parse main >.git/shallow; git reflog expire --expire=now --all",
            says: &["CONFLICT (content)"],
            squashed: true,
        },
        Case {
            name: "objects that lie elsewhere, and packed ones",
            base: "lines l",
            branches: &["set_line l 3 a", "set_line l 3 b", "set_line l 9 c"],
            after: "git repack -qad; git pack-refs --all; mkdir -p ../other; mv .git/objects/pack ../other/pack; mkdir .git/objects/pack
                echo \"$PWD/../other\" >.git/objects/info/alternates; set_line l 12 on; keep on",
            says: &["CONFLICT (content)"],
            squashed: true,
        },
        Case {
            name: "a sparse checkout",
            base: "lines l; lines d/m; lines e/n",
            branches: &["set_line d/m 3 a; git mv e f", "set_line d/m 3 b", "lines e/o; set_line l 3 c", "git rm -q d/m"],
            after: "git sparse-checkout set e 2>/dev/null",
            says: &["CONFLICT (content)", "CONFLICT (file location)"],
            squashed: true,
        },
    ]);
}

#[test]
fn names_of_paths() {
    show_exact(&[
        Case {
            name: "with all that names may have in them",
            base: r#"each() { for f in "$(printf 'line\nend')" 'quote"s' "it's" -n 'a  b ' 'ä' '*' '\' 'x~HEAD' 'y~b'; do "$@" ./"$f"; done; }
                change() { sed -i "1s/.*/$1/" "$2"; }; some() { seq 9 >"$1"; }; each some"#,
            branches: &["each change a", "each change b", "each rm", "lines ./-c"],
            says: &["CONFLICT (content)", "CONFLICT (modify/delete)"],
            ..CASE
        },
        Case {
            name: "that are no text",
            base: r#"n=$(printf 'n\377\376'); lines "$n""#,
            branches: &[r#"set_line "$n" 3 a"#, r#"set_line "$n" 3 b"#, r#"set_line "$n" 9 c"#],
            says: &["CONFLICT (content)"],
            ..CASE
        },
        Case {
            name: "that are deep",
            base: "deep=$(printf 'd%.0s/' $(seq 100)); lines $deep/l; lines $deep/m",
            branches: &[
                "set_line $deep/l 3 a",
                "set_line $deep/l 3 b",
                "git rm -qr d; echo c >d",
                "set_line $deep/l 9 d",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
        Case {
            name: "that git itself makes",
            base: "lines l",
            branches: &[
                "echo a >d; echo x >d~HEAD; echo y >d~b",
                "mkdir d; lines d/f; echo z >d~HEAD",
                "mkdir d; lines d/f; lines d~b_0",
                "mkdir d~HEAD; lines d~HEAD/x; echo n >d",
            ],
            says: &["CONFLICT"],
            ..CASE
        },
    ]);
}
