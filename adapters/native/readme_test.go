package native_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/adapters/native"
)

// Every message in README.md can be read by the parser of its kind.
func TestReadmeMessages(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)<!-- (\\w+) -->\n```json\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 12 {
		t.Fatalf("%d messages found", len(blocks))
	}
	for _, b := range blocks {
		kind, body := string(b[1]), b[2]
		switch kind {
		case "request":
			_, err = tongma.ParseRequest(body)
		case "answer":
			_, err = tongma.ParseAnswer(body)
		case "problem":
			var p native.Problem
			if p, err = native.ParseProblem(body); err == nil {
				e := p.Err("readme")
				again := native.ProblemOf(e)
				if again.Title != p.Title || again.Reason != p.Reason || again.Outcome != p.Outcome || again.Act != p.Act || again.Retry != p.Retry {
					t.Errorf("the catalogue has %+v", again)
				}
			}
		case "resolution":
			_, err = native.ParseResolution(body)
		default:
			t.Errorf("kind %q", kind)
		}
		if err != nil {
			t.Errorf("%s %s: %v", kind, body, err)
		}
	}
}
