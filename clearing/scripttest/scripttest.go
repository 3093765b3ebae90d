// Package scripttest runs scripts: stories in files, which are played line by line and
// rendered anew with what came out of each line. A script must come out as it stands, byte
// for byte; "go test -update" writes what came out into it, to be read before it is kept.
package scripttest

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Update is set by -update: what the scripts gave is written into the scripts.
var Update = flag.Bool("update", false, "write what the scripts gave into the scripts")

// Run plays each script that fits a pattern, in a subtest of its own. play returns the
// text with what came out of it. There must be at least so many of them: a pattern that
// fits nothing proves nothing.
func Run(t *testing.T, pattern string, least int, play func(t *testing.T, text string) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) < least {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".script"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(text))
			if *Update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			Same(t, file, got, string(text))
		})
	}
}

// Same tells of the first line in which a script did not come out as it stands.
func Same(t *testing.T, file, got, want string) {
	t.Helper()
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		var left, right string
		if i < len(g) {
			left = g[i]
		}
		if i < len(w) {
			right = w[i]
		}
		if left != right {
			t.Errorf("%s:%d:\n got %s\nwant %s", file, i+1, left, right)
			return
		}
	}
}

// Arrows renders a script whose lines say what somebody does, an arrow, and what came of
// it. The arrow stands in a column, comments stay in theirs, and a line of which nothing
// is said has no arrow.
func Arrows(text string, column int, do func(words []string) string) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		body, comment, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		result, _, _ := strings.Cut(body, "->")
		if result = strings.TrimRight(result, " "); result == "" {
			out.WriteString(line)
			continue
		}
		if said := do(strings.Fields(result)); said != "" {
			result = pad(result, column) + "-> " + said
		}
		if comment != "" {
			result = pad(result, strings.Index(line, "#")) + "#" + comment
		}
		out.WriteString(result + "\n")
	}
	return out.String()
}

func pad(s string, width int) string {
	return s + strings.Repeat(" ", max(1, width-len(s)))
}
