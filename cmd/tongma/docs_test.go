package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentsLeadSomewhere: every link between documents has an end, every document
// of docs/ is in its index, and a command that is named in one is there.
func TestDocumentsLeadSomewhere(t *testing.T) {
	root := filepath.Join("..", "..")
	docs, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(docs) < 6 {
		t.Fatal(docs, err)
	}
	index, err := os.ReadFile(filepath.Join(root, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	command := regexp.MustCompile("`tongma ([a-z]+(?: [a-z]+)*)")
	known := newRoot(newApp(nil, nil, nil))
	for _, doc := range append(docs, filepath.Join(root, "README.md"), filepath.Join(root, "DESIGN.md")) {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s leads to %s, which is not there", doc, m[1])
			}
		}
		for _, m := range command.FindAllStringSubmatch(string(text), -1) {
			found, rest, err := known.Find(strings.Fields(m[1]))
			if err != nil || (found.HasSubCommands() && len(rest) > 0) || found == known {
				t.Errorf("%s names `tongma %s`, which is no command", doc, m[1])
			}
		}
		if name := filepath.Base(doc); filepath.Base(filepath.Dir(doc)) == "docs" && name != "README.md" && !strings.Contains(string(index), "("+name+")") {
			t.Errorf("docs/README.md does not list %s", name)
		}
	}
}
