package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tongma/tongma/clearing"
)

// Status is how the switch stands, at a glance.
type Status struct {
	Role       string         `json:"role" enum:"writer" doc:"one that stands by answers /readyz only"`
	Version    string         `json:"version"`
	Sandbox    bool           `json:"sandbox" doc:"play money"`
	Epoch      uint64         `json:"epoch" doc:"of the writer: it grows with each take-over"`
	Entry      uint64         `json:"entry" doc:"number of the latest journal entry"`
	Time       string         `json:"time" doc:"of that entry, by the writer's clock"`
	Directory  uint64         `json:"directory" doc:"version in force"`
	Unfinished int            `json:"unfinished" doc:"payments that are held, awaited or being reversed: their end is not known yet"`
	Windows    map[string]int `json:"windows" doc:"how many are in which state"`
	Unbalanced []string       `json:"unbalanced" doc:"currencies whose positions, or the net sheet of a window that is not settled, do not add up to zero: must be none"`
	Suspended  []string       `json:"suspended" doc:"participants that may make no new debits"`
	Waits      []string       `json:"waits,omitempty" doc:"what settles, or is closed, no more by itself, and what to do"`
	Shard      uint16         `json:"shard,omitempty" doc:"of a switch of several shards: which one this is; the first closes and settles the windows of all"`
	Shards     uint16         `json:"shards,omitempty" doc:"of a switch of several shards: how many there are"`
	Differs    []string       `json:"differs,omitempty" doc:"of a switch of several shards: which of them do not go by the directory of the first one, or not wholly, and what becomes of it"`
	Awaiting   []Awaiting     `json:"awaiting,omitempty" doc:"closed windows that are not whole, because other shards have not handed over theirs: nothing of them is instructed before"`
}

// Awaiting is a closed window of the first shard that is not whole.
type Awaiting struct {
	Window string   `json:"window"`
	Shards []uint16 `json:"shards" doc:"those that have not handed over theirs"`
}

// status says how the switch stands.
func (c *call) status() error {
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	ledger := c.cfg.Engine.Ledger()
	s := Status{Role: "writer", Version: c.cfg.Version, Sandbox: c.cfg.Sandbox, Epoch: ledger.Epoch(), Windows: map[string]int{}, Unbalanced: []string{}, Suspended: []string{}}
	var now books
	err := ledger.Read(ctx, func(b *clearing.Book) {
		now = readBooks(b)
		s.Entry, s.Time, s.Unfinished = b.Next()-1, stamp(b.Clock()), b.Unfinished()
		s.Shard, s.Shards = b.Shard()
	})
	if err != nil {
		return unread(err)
	}
	s.Directory = c.cfg.Engine.Directory().Version()
	if c.cfg.Shards != nil {
		s.Differs = c.cfg.Shards.Differs()
	}
	for state, n := range now.windows() {
		if n > 0 {
			s.Windows[clearing.Progress(state).String()] = n
		}
	}
	for i := range now.sheets {
		if w := &now.sheets[i]; len(w.Awaited) > 0 {
			s.Awaiting = append(s.Awaiting, Awaiting{w.Window.String(), w.Awaited})
		}
	}
	for currency, bad := range now.unbalanced() {
		if bad != 0 {
			s.Unbalanced = append(s.Unbalanced, currency.Code())
		}
	}
	for _, p := range now.positions {
		if p.Suspended {
			s.Suspended = append(s.Suspended, string(p.Participant))
		}
	}
	s.Waits = c.waits(now.sheets, time.Now())
	slices.Sort(s.Unbalanced)
	slices.Sort(s.Suspended)
	s.Suspended = slices.Compact(s.Suspended)
	return c.send(s)
}

// lateAfter is how long after its close a window may be under way before people are told.
const lateAfter = time.Hour

// waits says in lines for people which windows do not settle by themselves, and of which
// models no cut-off is known.
func (c *call) waits(sheets []clearing.Sheet, now time.Time) (out []string) {
	d := c.cfg.Engine.Directory()
	for i := range sheets {
		w := &sheets[i]
		_, named := d.SettlementModel(w.Model)
		switch id := uint64(w.Window); {
		case w.Linked != 0: // the first shard settles it
		case w.Progress == clearing.ProgressShort:
			out = append(out, fmt.Sprintf("%s is short: tongma window settle %d --dry-run says what the rules would do", w.Window, id))
		case w.State != clearing.WindowOpen && now.Sub(time.UnixMilli(w.ClosedAt)) > lateAfter:
			out = append(out, fmt.Sprintf("%s was closed at %s and is %s: tongma window settle %d", w.Window, stamp(w.ClosedAt), w.Progress, id))
		case w.State == clearing.WindowOpen && !named && len(w.Matrix) > 0:
			out = append(out, fmt.Sprintf("%s is of model %s, which the directory has dropped: tongma window close %d", w.Window, w.Model, id))
		}
	}
	for _, m := range d.Models() {
		if m.Schedule == nil {
			continue
		}
		if _, err := m.Schedule.Next(now); err != nil {
			out = append(out, fmt.Sprintf("model %s has no next cut-off, and its window stays open: %v", m.ID, err))
		}
	}
	return out
}
