import pytest

from flambe.language.sources import Folder, Git, ImportPath, Requirement, SourceError, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("flambe_nlp", ImportPath("flambe_nlp")),
        ("flambe_nlp.classification", ImportPath("flambe_nlp.classification")),
        ("../local/folder", Folder("/home/local/folder")),
        (".", Folder("/home/me")),
        ("./ext@2", Folder("/home/me/ext@2")),
        ("folder/ext", Folder("/home/me/folder/ext")),
        ("/srv/ext", Folder("/srv/ext")),
        ("C:\\work\\ext", Folder("C:\\work\\ext")),
        ("D:/code/ext", Folder("D:/code/ext")),
        ("\\\\server\\share", Folder("\\\\server\\share")),
        ("https://github.com/o/r", Git("https://github.com/o/r")),
        ("github.com/o/r", Git("https://github.com/o/r")),
        ("https://github.com/o/r.git@v1.0", Git("https://github.com/o/r.git", "v1.0")),
        (
            "github.com/o/r/tree/main/some/folder",
            Git("https://github.com/o/r", "main", "some/folder"),
        ),
        ("https://www.github.com/o/r/tree/v1/", Git("https://github.com/o/r", "v1")),
        (
            "git+https://host/o/r.git@feature/x#egg=r&subdirectory=a/b",
            Git("https://host/o/r.git", "feature/x", "a/b"),
        ),
        ("git+https://user:token@host/o/r", Git("https://user:token@host/o/r")),
        ("ssh://git@host:22/o/r.git@abc", Git("ssh://git@host:22/o/r.git", "abc")),
        ("git@github.com:o/r.git", Git("git@github.com:o/r.git")),
        ("git@github.com:o/r.git@v1", Git("git@github.com:o/r.git", "v1")),
        ("file:///srv/r.git@main", Git("file:///srv/r.git", "main")),
        ("name==1.0", Requirement("name==1.0")),
        ("some-name", Requirement("some-name")),
        ("name[extra]>=1,<2", Requirement("name[extra]>=1,<2")),
        ("name @ https://host/name-1.0.zip", Requirement("name @ https://host/name-1.0.zip")),
    ],
)
def test_each_form_of_source(text, source):
    assert parse_source(text, "/home/me") == source
    assert parse_source(f" {text} ", "/home/me") == source
    assert parse_source(str(source), "/elsewhere") == source


FORMS = (
    "a source is a dotted import path, a folder, a git URL (https://host/owner/repo@ref#subdirectory=folder) "
    "or a requirement (name==1.0)"
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", f"the source is missing; {FORMS}"),
        ("a b c", f"'a b c' is no source of an extension; {FORMS}"),
        ("--index-url=x", f"'--index-url=x' is no source of an extension; {FORMS}"),
        ("https://", f"'https://' names no repository; {FORMS}"),
        ("https://host/", f"'https://host/' names no repository; {FORMS}"),
        ("git+foo", f"'foo' is no git URL; {FORMS}"),
        (
            "https://host/x.zip",
            "'https://host/x.zip' is an archive, not a git repository; write 'name @ https://host/x.zip'",
        ),
        ("https://host/o/r@", "'https://host/o/r@': a branch, tag or commit must follow '@'"),
        (
            "https://host/o/r@--upload-pack=x",
            "'https://host/o/r@--upload-pack=x': a branch, tag or commit must follow '@'",
        ),
        (
            "https://host/o/r#subdirectory=../x",
            "'https://host/o/r#subdirectory=../x': the subfolder must lie inside the repository",
        ),
    ],
)
def test_what_names_no_source(text, message):
    with pytest.raises(SourceError) as raised:
        parse_source(text, "/home/me")
    assert str(raised.value) == message
