package conformance

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// pretender is a switch that answers every question rightly, and whose books do
// what the test says.
type pretender struct {
	asked                       int // looks at the positions
	moves, holds, writes, leaks bool
	dead                        bool
	*httptest.Server
}

func pretend(t *testing.T) *pretender {
	p := &pretender{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		after := func(odd bool) int {
			if odd && p.asked > 1 {
				return 1
			}
			return 0
		}
		switch r.URL.Path {
		case "/v1/positions":
			p.asked++
			fmt.Fprintf(w, `{"positions":[{"position":"%d.00","reserved":"%d.00"}]}`, after(p.moves), after(p.holds))
		case "/v1/journal":
			line := ""
			if p.leaks {
				line = `{"order":"131234567890123456"}`
			}
			fmt.Fprintf(w, `{"lines":[%s],"next":%d}`, line, 8+after(p.writes))
		default:
			if p.dead {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			fmt.Fprint(w, "ok\n")
		}
	}))
	t.Cleanup(p.Close)
	return p
}

// TestRunSeesWhatTheBooksDo: an answer that is right does not help a door behind
// which a position or a hold moves, the journal grows, a code is written down, or
// which is dead afterwards.
func TestRunSeesWhatTheBooksDo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		want  Observation
		odd   func(p *pretender)
		fault string
	}{
		{"all in order", silently(Denied), func(*pretender) {}, ""},
		{"a position moves", refused(tongma.OverCap), func(p *pretender) { p.moves = true }, "a position or a hold moved"},
		{"a hold stays", refused(tongma.OverCap), func(p *pretender) { p.holds = true }, "a position or a hold moved"},
		{"a refusal is written down", refused(tongma.OverCap), func(p *pretender) { p.writes = true }, ""},
		{"what was denied is acted on", silently(Denied), func(p *pretender) { p.writes = true }, "the journal grew from 7 to 8 entries"},
		{"a code is written down", refused(tongma.OverCap), func(p *pretender) { p.leaks = true }, "it repeats a payer's code"},
		{"nothing answers any more", refused(tongma.OverCap), func(p *pretender) { p.dead = true }, "the switch is not alive"},
	} {
		p := pretend(t)
		tt.odd(p)
		c := Case{ID: "BAD-001", Door: DoorHTTP, Title: tt.name, Want: tt.want, Do: func(context.Context, *Target, Prior) (Observation, error) { return tt.want, nil }}
		r := Suite{Cases: []Case{c}}.Run(t.Context(), &Target{HTTP: p.URL, client: p.Client(), next: 1, secret: []string{"131234567890123456"}})
		faults := strings.Join(r.Cases[0].Faults, "; ")
		if !strings.Contains(faults, tt.fault) || (faults == "") != (tt.fault == "") || r.Cases[0].Pass != (tt.fault == "") {
			t.Errorf("%s: %q, want %q", tt.name, faults, tt.fault)
		}
	}
}
