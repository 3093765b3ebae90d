package settle

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
	"github.com/tongma/tongma/schemes/calendar"
)

// ClockOptions are the edges of a Clock.
type ClockOptions struct {
	Ledger    Ledger
	Directory func() *schemes.Directory // the version in force: its models and schedules
	// Every is after how long a window of a model without a schedule is closed; zero:
	// by hand alone.
	Every time.Duration
	// Closed is called with each window that was closed, on a goroutine of its own that
	// Run waits for: to have it settled. May be nil.
	Closed func(context.Context, Closing)
	// Fault is called when a model's next cut-off is not known, once until that changes:
	// its windows stay open. May be nil.
	Fault func(model string, err error)
	Look  time.Duration // how long a new directory may go unseen; default 30 s
}

// Closing is one window that the Clock closed.
type Closing struct {
	Sheet  clearing.Sheet
	Cutoff calendar.Cutoff   // zero if no schedule named it
	Missed []calendar.Cutoff // earlier ones that went by while nobody was there: they are in the same window
}

// Clock closes the windows of every model when their schedules say so. A cut-off is
// recorded with its instant, its value date and the calendars by which both were
// found, so that nobody has to work it out again. What was missed while no Clock ran
// is made up for by one close, with the latest cut-off. If a calendar does not know a
// day, the model's windows stay open (CalendarUnknown): nothing is guessed.
type Clock struct {
	opts ClockOptions
	last map[string]time.Time // the latest cut-off of a model, as far as known
	told map[string]string    // the fault of a model that was told
	done sync.WaitGroup       // calls of Closed
}

// NewClock returns a Clock.
func NewClock(opts ClockOptions) *Clock {
	opts.Look = cmp.Or(opts.Look, 30*time.Second)
	return &Clock{opts: opts, last: map[string]time.Time{}, told: map[string]string{}}
}

// Run closes windows until ctx ends, or the Ledger has stopped for good; that error
// it returns.
func (c *Clock) Run(ctx context.Context) error {
	defer c.done.Wait()
	for {
		next, err := c.tick(ctx, time.Now())
		switch tongma.ReasonOf(err) {
		case tongma.JournalStopped, tongma.SteppedDown, tongma.ShuttingDown:
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil { // in doubt, or overloaded: the books say at the next look what stands
			next = time.Now().Add(time.Second)
		}
		if !pause(ctx, max(0, time.Until(next))) {
			return nil
		}
	}
}

// tick closes what is due now, and returns when to look again. What the books refuse of
// one model holds up no other; where they do not answer, the error is returned.
func (c *Clock) tick(ctx context.Context, now time.Time) (next time.Time, err error) {
	next = now.Add(c.opts.Look)
	for _, m := range c.opts.Directory().Models() {
		at, err := c.look(ctx, m, now)
		switch tongma.ReasonOf(err) {
		case tongma.NoReason, tongma.CalendarUnknown, tongma.StateConflict, tongma.ModelUnknown, tongma.WindowUnknown, tongma.FieldInvalid, tongma.WindowNotClosed:
			c.fault(m.ID, err)
		default:
			return next, err
		}
		if err == nil && !at.IsZero() && at.Before(next) { // what is refused is tried again in a while
			next = at
		}
	}
	return next, c.dropped(ctx)
}

// look closes a model's window if that is due, and returns when to look again.
func (c *Clock) look(ctx context.Context, m *schemes.Model, now time.Time) (next time.Time, err error) {
	w, err := c.open(ctx, m)
	if err != nil {
		return next, err
	}
	due, next, err := c.due(m, w, now)
	if err != nil || due == nil {
		return next, err
	}
	return now, c.close(ctx, m, w, *due) // and once more, for the next cut-off
}

// dropped tells of models that the directory does not name any more, while
// something is owed in their open windows: no schedule closes those.
func (c *Clock) dropped(ctx context.Context) error {
	return c.opts.Ledger.Read(ctx, func(b *clearing.Book) {
		for _, m := range b.Models() {
			if _, named := c.opts.Directory().SettlementModel(m.Name); named {
				continue
			}
			var err error
			if s, _ := b.Sheet(m.Open); len(s.Matrix) > 0 {
				err = &tongma.Error{Op: "settle.clock", Reason: tongma.ModelUnknown, Field: m.Name, Detail: "the directory has dropped it; its window is closed by hand"}
			}
			c.fault(m.Name, err)
		}
	})
}

// fault tells of a model whose next cut-off is not known, when that changes.
func (c *Clock) fault(model string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if c.told[model] == text {
		return
	}
	c.told[model] = text
	if c.opts.Fault != nil && err != nil {
		c.opts.Fault(model, err)
	}
}

// open returns the open window of a model, which it opens if it is the first.
func (c *Clock) open(ctx context.Context, m *schemes.Model) (clearing.Sheet, error) {
	var s clearing.Sheet
	look := func() (found bool, err error) {
		err = c.opts.Ledger.Read(ctx, func(b *clearing.Book) {
			for _, have := range b.Models() {
				if have.Name == m.ID {
					s, found = b.Sheet(have.Open)
					c.remember(b, have)
				}
			}
		})
		return found, err
	}
	found, err := look()
	if found || err != nil {
		return s, err
	}
	res, err := c.opts.Ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindOpen, Model: m.ID, Method: methodOf(m.Method)})
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "settle.clock", Reason: res.Reason, Field: m.ID}
	}
	if err == nil {
		_, err = look()
	}
	return s, err
}

// remember finds the latest cut-off of a model when it is seen first. The window
// before the open one says it; one that was closed by hand says none.
func (c *Clock) remember(b *clearing.Book, m clearing.Model) {
	if _, known := c.last[m.Name]; known {
		return
	}
	c.last[m.Name] = time.Time{}
	for id := m.Open - 1; id > 0; id-- {
		if s, ok := b.Sheet(id); ok && s.Model == m.Name {
			if s.Cutoff != 0 {
				c.last[m.Name] = time.UnixMilli(s.Cutoff)
			}
			return
		}
	}
}

// due returns the cut-off that a model's open window is to be closed with now, if
// any, and the instant of the next one; none without a schedule.
func (c *Clock) due(m *schemes.Model, w clearing.Sheet, now time.Time) (*Closing, time.Time, error) {
	from := time.UnixMilli(w.OpenedAt)
	if last := c.last[m.ID]; last.After(from) {
		from = last
	}
	if m.Schedule == nil {
		return c.dueEvery(from, now)
	}
	return Due(m.Schedule, from, now)
}

func (c *Clock) dueEvery(from, now time.Time) (*Closing, time.Time, error) {
	switch d := c.opts.Every; {
	case d <= 0:
		return nil, time.Time{}, nil
	case now.Before(from.Add(d)):
		return nil, from.Add(d), nil
	default:
		return &Closing{Cutoff: calendar.Cutoff{Instant: from.Add(now.Sub(from) / d * d)}}, time.Time{}, nil
	}
}

// Due returns the latest cut-off of a schedule later than from and not later than
// now, with those before it that were missed, or none and the instant of the next
// one. It is pure. The error is CalendarUnknown: a calendar does not know a day that
// would decide.
func Due(s *calendar.Schedule, from, now time.Time) (*Closing, time.Time, error) {
	var out Closing
	for {
		next, err := s.Next(from)
		switch {
		case err != nil && out.Cutoff.Instant.IsZero():
			return nil, time.Time{}, &tongma.Error{Op: "settle.clock", Reason: tongma.CalendarUnknown, Err: err}
		case err != nil || next.Instant.After(now):
			// What is known to have passed is closed, even if a later day is not known.
			if out.Cutoff.Instant.IsZero() {
				return nil, next.Instant, nil
			}
			return &out, time.Time{}, nil
		}
		if !out.Cutoff.Instant.IsZero() && len(out.Missed) < maxMissed {
			out.Missed = append(out.Missed, out.Cutoff)
		}
		out.Cutoff, from = next, next.Instant
	}
}

// maxMissed bounds how many missed cut-offs are named.
const maxMissed = 100

// close writes the entry, and hands the window on. Who was quicker is no error: the
// window that is open then is looked at next.
func (c *Clock) close(ctx context.Context, m *schemes.Model, w clearing.Sheet, due Closing) error {
	e := clearing.Entry{Kind: clearing.KindClose, Window: w.Window, Model: m.ID, Method: methodOf(m.Method),
		Cutoff: due.Cutoff.Instant.UnixMilli(), Calendar: due.Cutoff.CalendarVersion, ValueDate: dateNumber(due.Cutoff.SettlementDate)}
	res, err := c.opts.Ledger.Submit(ctx, e)
	switch {
	case err != nil:
		return err
	case res.Reason == tongma.WindowNotOpen:
		delete(c.last, m.ID)
		return nil
	case res.Reason != tongma.NoReason:
		return &tongma.Error{Op: "settle.clock", Reason: res.Reason, Field: w.Window.String()}
	}
	c.last[m.ID] = due.Cutoff.Instant
	if c.opts.Closed == nil {
		return nil
	}
	err = c.opts.Ledger.Read(ctx, func(b *clearing.Book) { due.Sheet, _ = b.Sheet(w.Window) })
	if err == nil {
		c.done.Go(func() { c.opts.Closed(ctx, due) })
	}
	return err
}

// dateNumber is a date as entries carry it: yyyymmdd; zero for none.
func dateNumber(d calendar.Date) uint32 {
	t, err := time.Parse(time.DateOnly, d.String())
	if d.IsZero() || err != nil {
		return 0
	}
	return uint32(t.Year()*10000 + int(t.Month())*100 + t.Day())
}

// CloseEntry is the entry that closes a window by hand: the given one, or the open
// one of a model if it is zero. The value date is that of the model's next cut-off, if
// it has a schedule; if that is not known the window stays open (CalendarUnknown).
func CloseEntry(ctx context.Context, l Ledger, d *schemes.Directory, model string, id tongma.WindowID, now time.Time) (clearing.Entry, error) {
	e := clearing.Entry{Kind: clearing.KindClose, Window: id, Model: model}
	if id != 0 {
		var s clearing.Sheet
		ok := false
		if err := l.Read(ctx, func(b *clearing.Book) { s, ok = b.Sheet(id) }); err != nil {
			return e, err
		}
		if !ok {
			return e, &tongma.Error{Op: "settle.close", Reason: tongma.WindowUnknown, Field: id.String()}
		}
		e.Model = s.Model
	}
	if m, ok := d.SettlementModel(e.Model); ok {
		e.Method = methodOf(m.Method)
		if m.Schedule != nil {
			next, err := m.Schedule.Next(now)
			if err != nil {
				return e, &tongma.Error{Op: "settle.close", Reason: tongma.CalendarUnknown, Err: err}
			}
			e.ValueDate, e.Calendar = dateNumber(next.SettlementDate), next.CalendarVersion
		}
	}
	return e, nil
}

// Close writes what CloseEntry says, and returns the sheet of the closed window.
func Close(ctx context.Context, l Ledger, d *schemes.Directory, model string, id tongma.WindowID, now time.Time) (s clearing.Sheet, err error) {
	e, err := CloseEntry(ctx, l, d, model, id, now)
	if err != nil {
		return s, err
	}
	res, err := l.Submit(ctx, e)
	if err == nil && res.Reason != tongma.NoReason {
		err = &tongma.Error{Op: "settle.close", Reason: res.Reason, Field: id.String()}
	}
	if err != nil {
		return s, err
	}
	err = l.Read(ctx, func(b *clearing.Book) { s, _ = b.Sheet(res.Entry.Window) })
	return s, err
}

// String says in one line for people what was closed and what was missed.
func (c Closing) String() string {
	s := c.Sheet.Window.String() + " closed"
	if !c.Cutoff.Instant.IsZero() {
		s += " for " + c.Cutoff.Instant.UTC().Format(time.RFC3339)
	}
	if c.Cutoff.Cycle != "" {
		s += " (" + c.Cutoff.String() + ")"
	}
	if n := len(c.Missed); n > 0 {
		s += fmt.Sprintf("; %d cut-offs before it were missed, the first at %s", n, c.Missed[0].Instant.UTC().Format(time.RFC3339))
	}
	return s
}
