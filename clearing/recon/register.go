package recon

import (
	"cmp"
	"slices"
	"time"

	"github.com/tongma/tongma"
)

// Register holds every break that was ever found. Runs are merged into it;
// merging the same run again changes nothing. It is not safe for concurrent use:
// one goroutine owns it.
type Register struct {
	within uint64 // cycles
	breaks map[string]*Break
	runs   []Run
}

// NewRegister returns an empty Register. A movement that one side has in one
// window and the other side in another, at most within windows apart, is a matter
// of timing, and both its breaks end by themselves; zero ends none.
func NewRegister(within int) *Register {
	return &Register{within: uint64(max(0, within)), breaks: map[string]*Break{}}
}

// Clone returns a Register of its own with the same content: what is tried on it,
// or fails to be saved, leaves the first as it was.
func (g *Register) Clone() *Register {
	c := &Register{within: g.within, breaks: make(map[string]*Break, len(g.breaks)), runs: slices.Clone(g.runs)}
	for id, b := range g.breaks {
		own := b.copy()
		c.breaks[id] = &own
	}
	return c
}

// Merged says what a merge did.
type Merged struct {
	New    int // breaks that were not there
	Seen   int // breaks that were
	Ended  int // breaks that it ended: paired, or not found again
	Repeat int // runs that a later one has taken the place of, and that were left alone
}

// Merge takes in what a run found. Of each side and window the latest run counts:
// a break that it does not find any more has ended, and a run that it took the
// place of does nothing if it comes again as it was. Run anew since, it is the latest
// word: so the right file, given once more, puts right what a wrong one has said. A run
// it has never seen that is older than the latest is refused, with nothing changed.
//
// What belongs to no window (an entry at the bank, a balance) ends only if the
// same statement is looked at again.
func (g *Register) Merge(res Result) (Merged, error) {
	var m Merged
	var fresh []Run
	for _, run := range res.Runs {
		last := g.latest(run)
		switch known := g.place(run.ID); {
		case known >= 0 && last >= 0 && g.runs[last].ID != run.ID && !run.AsOf.After(g.runs[last].AsOf):
			m.Repeat++
			continue
		case known < 0 && last >= 0 && run.AsOf.Before(g.runs[last].AsOf):
			return Merged{}, fault(tongma.StateConflict, "recon.Merge", "%s is older than the latest run of %s", run.ID, run.Side)
		}
		fresh = append(fresh, run)
	}
	if len(g.runs)+len(fresh) > maxRuns {
		return Merged{}, fault(tongma.MessageTooLong, "recon.Merge", "more than %d runs", maxRuns)
	}
	for _, run := range fresh {
		g.merge(run, res.Breaks, &m)
	}
	m.Ended += g.pair()
	return m, nil
}

func (g *Register) place(id string) int {
	return slices.IndexFunc(g.runs, func(r Run) bool { return r.ID == id })
}

// latest finds the latest run of the same side that has a window in common.
func (g *Register) latest(run Run) int {
	last := -1
	for i, r := range g.runs {
		shares := slices.ContainsFunc(r.Windows, func(w tongma.WindowID) bool { return slices.Contains(run.Windows, w) })
		if r.Side == run.Side && shares && (last < 0 || !r.AsOf.Before(g.runs[last].AsOf)) {
			last = i
		}
	}
	return last
}

func (g *Register) merge(run Run, breaks []Break, m *Merged) {
	if i := g.place(run.ID); i < 0 {
		g.runs = append(g.runs, run)
	} else if run.AsOf.After(g.runs[i].AsOf) {
		g.runs[i].AsOf = run.AsOf
	}
	found, added := map[string]bool{}, map[subject]*Break{}
	for _, b := range breaks {
		if b.Side != run.Side {
			continue
		}
		now := g.current(&b)
		if now == nil {
			now = &b
			g.breaks[b.ID] = now
			added[b.subject()] = now
			m.New++
		} else {
			m.Seen++
			if b.FirstSeen.Before(now.FirstSeen) {
				now.FirstSeen = b.FirstSeen
			}
		}
		found[now.ID] = true
	}
	for _, old := range g.Breaks() {
		if b := g.breaks[old.ID]; b.Open() && !found[b.ID] && run.covers(b) {
			b.Resolution = &Resolution{How: ByLaterRun, At: run.AsOf, By: "register", Reason: "not found again by " + run.ID}
			m.Ended++
			if next := added[b.subject()]; next != nil && next.Replaces == "" {
				next.Replaces, next.FirstSeen = b.ID, b.FirstSeen
			}
		}
	}
}

// current finds the break that b is a sighting of. If that one had gone, b is a
// further break: current gives it the next number and returns nil.
func (g *Register) current(b *Break) *Break {
	for {
		now := g.breaks[b.ID]
		if now == nil || now.Resolution == nil || now.Resolution.How != ByLaterRun {
			return now
		}
		b.Again++
		b.ID = b.Identity()
	}
}

// covers tells whether the run would have found b if it were still there.
func (run *Run) covers(b *Break) bool {
	if b.Side != run.Side {
		return false
	}
	if b.Window != 0 {
		return slices.Contains(run.Windows, b.Window)
	}
	return slices.ContainsFunc(run.Inputs, func(in InputID) bool { return in.Hash == b.Source.Hash })
}

// pairKey is what two breaks on one movement in two windows have in common.
type pairKey struct {
	side        string
	participant tongma.ParticipantID
	movement    Movement
	payment     tongma.PaymentID
	ref         string // only without a payment
}

// pairKeys are the keys that b can be found by, the best first. A row of which
// the journal's payment is known (WINDOW) has no use for the reference.
func (b *Break) pairKeys() []pairKey {
	var keys []pairKey
	if !b.Payment.IsZero() {
		keys = append(keys, pairKey{b.Side, b.Participant, b.Movement, b.Payment, ""})
	}
	if b.Ref != "" && b.Kind != Window {
		keys = append(keys, pairKey{b.Side, b.Participant, b.Movement, tongma.PaymentID{}, b.Ref})
	}
	return keys
}

// pair ends what was a matter of timing. One break says that the journal's
// movement is missing in its window's file; the other that a row stands in
// another window's file, where the journal knows it in the first window (WINDOW)
// or did not know it then (MISSING_AT_SWITCH). A row without such a counterpart
// was reported in both windows: it stays open, as money reported twice.
func (g *Register) pair() int {
	missing := map[pairKey][]*Break{}
	var rows []*Break
	for _, each := range g.Breaks() {
		switch b := g.breaks[each.ID]; {
		case !b.Open():
		case b.Kind == MissingAtScheme:
			for _, k := range b.pairKeys() {
				missing[k] = append(missing[k], b)
			}
		case b.Kind == Window || b.Kind == MissingAtSwitch:
			rows = append(rows, b)
		}
	}
	slices.SortFunc(rows, func(x, y *Break) int { return cmp.Or(cmp.Compare(x.Window, y.Window), cmp.Compare(x.ID, y.ID)) })
	ended := 0
	for _, row := range rows {
		if other := g.counterpart(row, missing); other != nil {
			endPair(row, other)
			ended += 2
		}
	}
	return ended
}

func (g *Register) counterpart(row *Break, missing map[pairKey][]*Break) *Break {
	var best *Break
	for _, k := range row.pairKeys() {
		for _, b := range missing[k] {
			apart := uint64(distance(int64(row.Window), int64(b.Window)))
			switch {
			case !b.Open() || apart == 0 || apart > g.within:
			case row.Kind == MissingAtSwitch && (row.AtRisk != b.AtRisk || row.AtRisk.IsZero()):
			case best == nil || b.ID < best.ID:
				best = b
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}

func endPair(row, missing *Break) {
	at := row.FirstSeen
	if missing.FirstSeen.After(at) {
		at = missing.FirstSeen
	}
	reason := "timing: " + missing.Window.String() + " in the journal, file of " + row.Window.String()
	row.Resolution = &Resolution{How: ByPair, At: at, By: "register", Pair: missing.ID, Reason: reason}
	missing.Resolution = &Resolution{How: ByPair, At: at, By: "register", Pair: row.ID, Reason: reason}
}

// Bounds of what a person writes into a resolution, in bytes.
const (
	maxBy   = 64
	maxWhy  = 500
	maxRuns = 1_000_000
)

// Resolve ends a break with the name of whoever decided, the journal entry that
// put it right (zero if money need not move) and a reason. The same resolution
// given again is no error; another one is refused, for a break is never edited.
func (g *Register) Resolve(id string, at time.Time, by string, entry uint64, reason string) error {
	const op = "recon.Resolve"
	b := g.breaks[id]
	switch {
	case b == nil:
		return fault(tongma.BreakUnknown, op, "")
	case !sound(by, maxBy) || !sound(reason, maxWhy):
		return fault(tongma.FieldInvalid, op, "a resolution has a name and a reason, in one line each")
	case b.Resolution != nil && b.Resolution.How == ByPerson && b.Resolution.By == by && b.Resolution.Entry == entry && b.Resolution.Reason == reason:
		return nil
	case b.Resolution != nil:
		return fault(tongma.StateConflict, op, "the break has ended")
	case at.Before(b.FirstSeen):
		return fault(tongma.FieldInvalid, op, "resolved before it was found")
	}
	b.Resolution = &Resolution{How: ByPerson, At: at, By: by, Entry: entry, Reason: reason}
	return nil
}

// sound tells whether s is one line of text, not empty and not too long.
func sound(s string, limit int) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == '�' {
			return false
		}
	}
	return s != "" && len(s) <= limit
}

// Break finds a break by its id.
func (g *Register) Break(id string) (Break, bool) {
	b := g.breaks[id]
	if b == nil {
		return Break{}, false
	}
	return b.copy(), true
}

// Breaks returns copies of all breaks, oldest first, then by content.
func (g *Register) Breaks() []Break {
	out := make([]Break, 0, len(g.breaks))
	for _, b := range g.breaks {
		out = append(out, b.copy())
	}
	slices.SortFunc(out, func(x, y Break) int {
		return cmp.Or(x.FirstSeen.Compare(y.FirstSeen), compareContent(&x, &y), cmp.Compare(x.ID, y.ID))
	})
	return out
}

// Open returns copies of the breaks that nothing has ended, oldest first.
func (g *Register) Open() []Break {
	return slices.DeleteFunc(g.Breaks(), func(b Break) bool { return !b.Open() })
}

// Runs returns what was merged, in order.
func (g *Register) Runs() []Run { return slices.Clone(g.runs) }

func (b *Break) copy() Break {
	c := *b
	if b.Resolution != nil {
		r := *b.Resolution
		c.Resolution = &r
	}
	return c
}
