package calendar

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// DayKind is what a calendar says of a day. The zero DayKind is no business day.
type DayKind uint8

const (
	NotKnown   DayKind = iota // the calendar does not reach that far
	Weekend                   // closed every week
	Holiday                   // closed by name
	Working                   // open
	Half                      // open, but closes early
	MakeUp                    // open, although its day of the week is a weekend
	MakeUpHalf                // both
)

// String returns the kind in words.
func (k DayKind) String() string {
	words := [...]string{"not known", "weekend", "holiday", "working day", "half day", "make-up day", "make-up half day"}
	if int(k) >= len(words) {
		return words[0]
	}
	return words[k]
}

// Day is one day of a calendar.
type Day struct {
	Date   Date
	Kind   DayKind
	Name   string // of a holiday, half day or make-up day; "" otherwise
	Closes Clock  // in the calendar's zone; meaningful if ClosesEarly
}

// Business tells whether settlement is possible on the day.
func (d Day) Business() bool { return d.Kind >= Working && d.Kind <= MakeUpHalf }

// ClosesEarly tells whether Closes holds for the day.
func (d Day) ClosesEarly() bool { return d.Kind == Half || d.Kind == MakeUpHalf }

// Calendar is one numbered, immutable version of the business days of one place:
// a currency's or a settlement agent's.
type Calendar struct {
	id        string
	version   uint64
	effective time.Time // zero: since ever
	zoneName  string
	zone      *time.Location
	from, to  Date // both included
	weekend   [7]bool
	special   map[Date]Day
	early     []Day // of special, those that close early, as they stand in the source
}

// ID returns the calendar's name, the same in all of its versions.
func (c *Calendar) ID() string { return c.id }

// Version returns the version's number, from 1.
func (c *Calendar) Version() uint64 { return c.version }

// Ref returns name and version: "cny-cn.2".
func (c *Calendar) Ref() string { return c.id + "." + strconv.FormatUint(c.version, 10) }

// EffectiveFrom returns the instant from which the version is in force. The zero
// time is: always, until the next version.
func (c *Calendar) EffectiveFrom() time.Time { return c.effective }

// Zone returns the IANA zone in which half days close.
func (c *Calendar) Zone() string { return c.zoneName }

// Valid returns the first and last date that the version knows about.
func (c *Calendar) Valid() (from, to Date) { return c.from, c.to }

// Day says what a date is. A date that the version does not reach is an error
// (Outside), never a business day and never a holiday: nobody has announced that
// year's holidays yet.
func (c *Calendar) Day(d Date) (Day, error) {
	if d.IsZero() || d.Compare(c.from) < 0 || d.Compare(c.to) > 0 {
		return Day{Date: d}, &Error{Op: "day", Fault: Outside, Calendar: c.Ref(), Date: d, Detail: "it knows " + c.from.String() + " to " + c.to.String()}
	}
	if day, ok := c.special[d]; ok {
		return day, nil
	}
	if c.weekend[d.Weekday()] {
		return Day{Date: d, Kind: Weekend}, nil
	}
	return Day{Date: d, Kind: Working}, nil
}

// Special returns all holidays, half days and make-up days, by date.
func (c *Calendar) Special() []Day {
	days := make([]Day, 0, len(c.special))
	for _, d := range c.special {
		days = append(days, d)
	}
	slices.SortFunc(days, func(a, b Day) int { return cmp.Compare(a.Date.day, b.Date.day) })
	return days
}

// Deadline returns the last millisecond of the n-th business day after the date that
// from falls on in the calendar's zone; for n = 0 of that date, or of the next business
// day if it is none. Half days count whole: they close settlement early, and give people no less time. It fails
// if the calendar does not reach that far (Outside).
func (c *Calendar) Deadline(from time.Time, n int) (time.Time, error) {
	d, err := Good{c}.AddBusinessDays(DateOf(from.In(c.zone)), n)
	if err != nil {
		return time.Time{}, err
	}
	end, _ := Instant(d, endOfDay, c.zone)
	return end.Add(-time.Millisecond), nil
}

// closing returns the instant at which a half day ends.
func (c *Calendar) closing(d Day) time.Time {
	at, _ := Instant(d.Date, d.Closes, c.zone)
	return at
}
