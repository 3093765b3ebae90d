package api

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tongma/tongma/clearing"
)

// rowsOf returns what stands in backquotes in the first column of the table behind
// a heading of docs/journal.md.
func rowsOf(t *testing.T, heading string) []string {
	t.Helper()
	text, err := os.ReadFile("../../docs/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var names []string
	quoted := regexp.MustCompile("`([a-z_-]+)`")
	for _, row := range strings.Split(section, "\n") {
		if cells := strings.Split(row, "|"); len(cells) > 3 {
			for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
				names = append(names, m[1])
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestTheJournalsDocumentIsWhole: docs/journal.md has a row for every kind of entry
// and for every field of a line, and for nothing else.
func TestTheJournalsDocumentIsWhole(t *testing.T) {
	var kinds, fields []string
	for k := range 256 {
		if name := clearing.Kind(k).String(); name != "unknown" {
			kinds = append(kinds, name)
		}
	}
	for _, of := range []reflect.Type{reflect.TypeFor[clearing.Line](), reflect.TypeFor[clearing.Fee]()} {
		for f := range of.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields = append(fields, name)
		}
	}
	for _, tt := range []struct {
		heading string
		have    []string
	}{{"Kinds", kinds}, {"Fields", fields}} {
		slices.Sort(tt.have)
		if told, have := rowsOf(t, tt.heading), slices.Compact(tt.have); !slices.Equal(told, have) {
			t.Errorf("docs/journal.md, %s:\n%v, the code has\n%v", tt.heading, told, have)
		}
	}
}
