package scripttest

import (
	"strings"
	"testing"
)

// TestArrowsKeepTheirColumns: what came out stands behind the arrow whatever stood there,
// comments and blank lines stay, and what is rendered twice is the same.
func TestArrowsKeepTheirColumns(t *testing.T) {
	say := func(words []string) string {
		if words[0] == "hush" {
			return ""
		}
		return strings.Join(words, "+")
	}
	const want = "# a story\n\na b     -> a+b         # and why\nhush\na longer line -> a+longer+line\n"
	got := Arrows("# a story\n\na b -> who knows       # and why\nhush\na longer line\n", 8, say)
	if got != want || Arrows(got, 8, say) != want {
		t.Errorf("%q", got)
	}
}
