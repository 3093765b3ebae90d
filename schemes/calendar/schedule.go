package calendar

import (
	"slices"
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// AgentID names a settlement agent, in the same form as a participant's id.
type AgentID string

// Model is how a window is settled. The zero Model is none.
type Model uint8

const (
	NoModel      Model = iota
	Multilateral       // one net figure for each participant, through the agent
	Bilateral          // one net figure for each pair
	Gross              // every payment by itself
)

var models = []string{"", "multilateral", "bilateral", "gross"}

// String returns "multilateral", "bilateral" or "gross".
func (m Model) String() string { return models[m&3] }

// Cycle is one cut-off a day.
type Cycle struct {
	ID        string
	At        Clock // in the schedule's zone
	ValueDays int   // business days from the cut-off's date to settlement
}

// Schedule is when the windows of one model, currency and agent are cut off, and
// when they settle. It is pure: the same set of calendars gives the same cut-offs.
//
// A cut-off is on a date that is a business day of the currency and of the agent.
// Each is judged by the versions of the calendars that are in force at its own
// ordinary time, so which cut-offs there are does not depend on when one asks.
// On a half day, cycles later than the closing move to the closing. Of cycles
// that fall on one instant, for that reason or because clocks jumped, the last
// one runs and the others are left out.
type Schedule struct {
	id       string
	model    Model
	currency tongma.Currency
	agent    AgentID
	zoneName string
	zone     *time.Location
	cycles   []Cycle // by time of day
	roll     Roll
	days     [][]*Calendar // versions of the currency's and the agent's calendar, oldest first
	valueIn  [][]*Calendar // of those in which the value date must be good as well
}

// Cutoff is one end of a window. Its fields are what the window's entry records,
// so that nobody has to work it out again from another year's time zones.
type Cutoff struct {
	Instant         time.Time // in UTC: what is true
	Local           time.Time // the same instant in Zone: what people see
	Zone            string    // IANA
	Shift           Shift     // why Local is not the cycle's time of day
	Date            Date      // the business day that the cycle belongs to
	SettlementDate  Date
	Cycle           string
	CalendarVersion string // "agent-cn.1+cny-cn.2": all versions that were asked
}

// String returns one line for people.
func (c Cutoff) String() string {
	s := c.Local.Format("2006-01-02 15:04:05 -07:00") + " " + c.Zone + " " + c.Cycle + ", settles " + c.SettlementDate.String()
	if c.Shift != OnTime {
		s += " (" + c.Shift.String() + ")"
	}
	return s
}

// ID returns the schedule's name.
func (s *Schedule) ID() string { return s.id }

// Model returns how its windows are settled.
func (s *Schedule) Model() Model { return s.model }

// Currency returns what it settles in.
func (s *Schedule) Currency() tongma.Currency { return s.currency }

// Agent returns with whom it settles.
func (s *Schedule) Agent() AgentID { return s.agent }

// Zone returns the IANA zone of its times of day.
func (s *Schedule) Zone() string { return s.zoneName }

// Cycles returns its cycles by time of day.
func (s *Schedule) Cycles() []Cycle { return slices.Clone(s.cycles) }

// Asks tells whether the value dates of the schedule are good days of a calendar,
// by name: its currency's, its agent's, or one of good_in.
func (s *Schedule) Asks(calendar string) bool {
	has := func(versions []*Calendar) bool { return versions[0].id == calendar }
	return slices.ContainsFunc(s.days, has) || slices.ContainsFunc(s.valueIn, has)
}

// Next returns the first cut-off later than after. A payment that is committed
// at the very instant of a cut-off is in the window that this cut-off opens.
func (s *Schedule) Next(after time.Time) (Cutoff, error) {
	// The cut-offs of a date can fall on a later one, if clocks jump over midnight
	// or if the time is 24:00; none falls on an earlier one.
	from := DateOf(after.In(s.zone)).Add(-2)
	for n := range patience {
		d := from.Add(n)
		if d.IsZero() {
			return Cutoff{}, &Error{Op: "next", Fault: Outside, Detail: "schedule " + s.id}
		}
		last, _ := Instant(d, s.cycles[len(s.cycles)-1].At, s.zone)
		if !last.After(after) {
			continue // even the last is over: what kind of day it was does not matter
		}
		cutoff, err := s.first(d, after)
		if err != nil {
			return Cutoff{}, err
		}
		if cutoff != nil {
			return s.settle(s.lastAt(d, cutoff))
		}
	}
	return Cutoff{}, &Error{Op: "next", Fault: NeverGood, Date: from, Detail: "schedule " + s.id}
}

// planned is a cut-off that is not yet dated for settlement.
type planned struct {
	instant time.Time
	shift   Shift
	date    Date
	cycle   Cycle
	days    Good // what the date is good in
	known   time.Time
}

// first returns the earliest cut-off of a date that is later than after, or nil.
func (s *Schedule) first(d Date, after time.Time) (*planned, error) {
	for _, c := range s.cycles {
		if at, _ := Instant(d, c.At, s.zone); !at.After(after) {
			continue // and a closing would only make it earlier
		}
		p, err := s.plan(d, c)
		if err != nil {
			return nil, err
		}
		if p != nil && p.instant.After(after) {
			return p, nil
		}
	}
	return nil, nil
}

// lastAt returns the last cycle that runs at the instant of p, which is on d: it
// is of this date or, after a jump of the clocks over midnight, of the next.
func (s *Schedule) lastAt(d Date, p *planned) *planned {
	for _, day := range []Date{d, d.Add(1)} {
		if start, _ := Instant(day, 0, s.zone); start.After(p.instant) {
			break
		}
		for _, c := range s.cycles {
			if at, _ := Instant(day, c.At, s.zone); at.Before(p.instant) {
				continue
			}
			if other, err := s.plan(day, c); err == nil && other != nil && other.instant.Equal(p.instant) {
				p = other
			}
		}
	}
	return p
}

// plan returns a cycle's cut-off on a date, or nil if it has none that day.
func (s *Schedule) plan(d Date, c Cycle) (*planned, error) {
	p := &planned{date: d, cycle: c}
	p.instant, p.shift = Instant(d, c.At, s.zone)
	p.known = p.instant
	var err error
	if p.days, err = inForce(s.days, p.known); err != nil {
		return nil, err
	}
	if ok, err := p.days.Business(d); !ok || err != nil {
		return nil, err
	}
	for _, cal := range p.days {
		if day, _ := cal.Day(d); day.ClosesEarly() {
			if at := cal.closing(day); at.Before(p.instant) {
				p.instant, p.shift = at, HalfDay
			}
		}
	}
	return p, nil
}

// settle dates a planned cut-off.
func (s *Schedule) settle(p *planned) (Cutoff, error) {
	extra, err := inForce(s.valueIn, p.known)
	if err != nil {
		return Cutoff{}, err
	}
	all := append(slices.Clip(p.days), extra...)
	value, err := p.days.AddBusinessDays(p.date, p.cycle.ValueDays)
	if err == nil {
		value, err = s.value(all, p.date, value)
	}
	if err != nil {
		return Cutoff{}, err
	}
	return Cutoff{Instant: p.instant, Local: p.instant.In(s.zone), Zone: s.zoneName, Shift: p.shift, Date: p.date,
		SettlementDate: value, Cycle: p.cycle.ID, CalendarVersion: all.Ref()}, nil
}

// value rolls a value date to a day that is good everywhere. Modified following
// may lead back before the cut-off's own date; money cannot settle before it is
// cleared, so it goes forward then.
func (s *Schedule) value(all Good, cleared, value Date) (Date, error) {
	rolled, err := all.Roll(value, s.roll)
	if err == nil && rolled.Compare(cleared) < 0 {
		return all.Roll(value, Following)
	}
	return rolled, err
}

// SettlementDate returns when a payment settles that is committed at an instant:
// with the window that is cut off next.
func (s *Schedule) SettlementDate(committed time.Time) (Date, error) {
	c, err := s.Next(committed)
	return c.SettlementDate, err
}

// Between returns the cut-offs later than after and not later than until, in
// order, at most limit of them.
func (s *Schedule) Between(after, until time.Time, limit int) ([]Cutoff, error) {
	var out []Cutoff
	for len(out) < limit {
		c, err := s.Next(after)
		if err != nil || c.Instant.After(until) {
			return out, err
		}
		out, after = append(out, c), c.Instant
	}
	return out, nil
}

// Good returns the versions in force at an instant of the calendars that the
// schedule's cut-offs must be good in: the currency's and the agent's.
func (s *Schedule) Good(at time.Time) (Good, error) { return inForce(s.days, at) }

// Ref names the versions: "agent-cn.1+cny-cn.2".
func (g Good) Ref() string {
	refs := make([]string, len(g))
	for i, c := range g {
		refs[i] = c.Ref()
	}
	slices.Sort(refs)
	return strings.Join(slices.Compact(refs), "+")
}

// inForce picks from each calendar's versions the one in force at an instant.
func inForce(calendars [][]*Calendar, at time.Time) (Good, error) {
	good := make(Good, 0, len(calendars)+2)
	for _, versions := range calendars {
		c, err := pick(versions, at)
		if err != nil {
			return nil, err
		}
		good = append(good, c)
	}
	return good, nil
}

func pick(versions []*Calendar, at time.Time) (*Calendar, error) {
	for i := len(versions) - 1; i >= 0; i-- {
		if c := versions[i]; !c.effective.After(at) {
			return c, nil
		}
	}
	return nil, &Error{Op: "pick", Fault: NotInForce, Calendar: versions[0].id, Detail: "at " + at.UTC().Format(time.RFC3339)}
}
