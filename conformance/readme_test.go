package conformance

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const (
	tableBegins = "<!-- cases: written by `go test ./conformance -run TestReadmeListsEveryCase -args -update` -->\n"
	tableEnds   = "<!-- end of cases -->\n"
)

// TestReadmeListsEveryCase: the tables of README.md are those of the suite, and
// the number that it states is theirs.
func TestReadmeListsEveryCase(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), tableBegins)
	_, after, ended := strings.Cut(rest, tableEnds)
	if !begun || !ended {
		t.Fatal("README.md has no place for the cases")
	}
	s := BadInputs()
	want := before + tableBegins + fmt.Sprintf("\n%d cases.\n", len(s.Cases)) + s.Table() + "\n" + tableEnds + after
	if want == string(text) {
		return
	}
	if !*update {
		t.Fatal("README.md does not list the cases as they are: run this test with -args -update")
	}
	if err := os.WriteFile("README.md", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}
