package iso8583

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write SPEC.md's field table anew")

func TestFieldTableOfTheDocumentIsThatOfTheCode(t *testing.T) {
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), "anew -->\n")
	_, tail, ok2 := strings.Cut(rest, "<!-- end of fields -->")
	if !ok || !ok2 {
		t.Fatal("SPEC.md has lost its marks")
	}
	var table strings.Builder
	table.WriteString("| DE | format | name |\n|---|---|---|\n")
	for _, f := range Fields() {
		fmt.Fprintf(&table, "| %d | %s | %s |\n", f.ID, f.Format, f.Name)
	}
	want := head + "anew -->\n" + table.String() + "<!-- end of fields -->" + tail
	if *update {
		if err := os.WriteFile("SPEC.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Fatal("SPEC.md's field table is not that of spec.go: run with -args -update")
	}
}

func TestEveryRuleOfTheDocumentNamesATestThatExists(t *testing.T) {
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(source)
	}
	for _, name := range regexp.MustCompile(`Test[A-Z]\w+`).FindAllString(string(text), -1) {
		if name != "TestFieldTable" && !strings.Contains(tests.String(), "func "+name+"(") {
			t.Errorf("SPEC.md names %s, which is not there", name)
		}
	}
}
