package dispute

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/scripttest"
)

// TestScripts runs testdata/*.script, one story each. A line says on which day,
// who, does what, and until when the next party has time:
//
//	day 3  respondent represents  until 8  -> represented
//
// "operator ann" names a person. Behind the arrow stands the stage reached, and
// the money if it moves; or why not.
func TestScripts(t *testing.T) {
	scripttest.Run(t, "testdata/*.script", 6, func(t *testing.T, text string) string {
		s := &story{t: t}
		return scripttest.Arrows(text, 48, s.do)
	})
}

// story keeps what the caller of Next keeps.
type story struct {
	t        *testing.T
	stage    Stage
	deadline int64
	maker    string
}

const day = 24 * 3600 * 1000

func (s *story) do(f []string) string {
	n, err := strconv.ParseInt(f[1], 10, 64)
	if f[0] != "day" || err != nil || len(f) < 4 {
		s.t.Fatalf("%q", f)
	}
	who := Who{Maker: s.maker}
	if who.Party, err = ParseParty(f[2]); err != nil {
		s.t.Fatal(err)
	}
	f = f[3:]
	if who.Party == Operator {
		who.Person, f = f[0], f[1:]
	}
	action, err := ParseAction(strings.Replace(strings.TrimSuffix(f[0], "s"), "proposes-", "propose-", 1))
	if err != nil {
		s.t.Fatal(err)
	}
	next, effect, err := Next(s.stage, who, action, n*day, s.deadline)
	if err != nil {
		return tongma.ReasonOf(err).String()
	}
	s.stage, s.deadline = next, 0
	if action == ProposeUphold || action == ProposeReject {
		s.maker = who.Person
	}
	if len(f) == 3 && f[1] == "until" {
		if n, err = strconv.ParseInt(f[2], 10, 64); err != nil {
			s.t.Fatal(err)
		}
		s.deadline = n * day
	}
	if effect == Nothing {
		return next.String()
	}
	return fmt.Sprintf("%v, %v", next, effect)
}
