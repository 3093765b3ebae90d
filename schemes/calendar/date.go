package calendar

import (
	"cmp"
	"strconv"
	"time"
)

// Date is a day of the Gregorian calendar, years 1 to 9999, in no zone. The zero
// Date is none. Dates can be compared with == and used as keys.
type Date struct {
	day int32 // 1 is 1 January of year 1, a Monday
}

const (
	epochDay = 719_163   // 1 January 1970
	lastDay  = 3_652_059 // 31 December 9999
)

// MakeDate returns a date, or none if there is no such day: 30 February is not
// quietly a day in March.
func MakeDate(year int, month time.Month, day int) Date {
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	if year < 1 || year > 9999 || t.Year() != year || t.Month() != month || t.Day() != day {
		return Date{}
	}
	return Date{int32(t.Unix()/86400 + epochDay)}
}

// DateOf returns the date that t shows in its own location.
func DateOf(t time.Time) Date { return MakeDate(t.Date()) }

// ParseDate reads "2026-05-01".
func ParseDate(s string) (Date, error) {
	bad := &Error{Op: "date", Fault: Malformed, Detail: "want a date as 2026-05-01"}
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return Date{}, bad
	}
	year, ok1 := number(s[:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:])
	if d := MakeDate(year, time.Month(month), day); ok1 && ok2 && ok3 && !d.IsZero() {
		return d, nil
	}
	return Date{}, bad
}

// number reads decimal digits only: no sign, no space.
func number(s string) (int, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// IsZero tells whether the date is none.
func (d Date) IsZero() bool { return d.day == 0 }

// Add returns the date some days later, or earlier if days is below zero. It is
// none if d is, or if the result would be outside the years 1 to 9999.
func (d Date) Add(days int) Date {
	sum := int64(d.day) + int64(days)
	if d.IsZero() || days > lastDay || days < -lastDay || sum < 1 || sum > lastDay {
		return Date{}
	}
	return Date{int32(sum)}
}

// Compare returns -1, 0 or +1: whether d is before, on or after e.
func (d Date) Compare(e Date) int { return cmp.Compare(d.day, e.day) }

// Weekday returns the day of the week.
func (d Date) Weekday() time.Weekday { return time.Weekday(d.day % 7) }

func (d Date) midnight() time.Time { return time.Unix(d.seconds(), 0).UTC() }

// seconds is what a Unix clock in UTC shows at the start of the date.
func (d Date) seconds() int64 { return (int64(d.day) - epochDay) * 86400 }

func (d Date) sameMonth(e Date) bool {
	x, y := d.midnight(), e.midnight()
	return x.Year() == y.Year() && x.Month() == y.Month()
}

// String returns "2026-05-01", or "" for none.
func (d Date) String() string {
	if d.IsZero() {
		return ""
	}
	return d.midnight().Format(time.DateOnly)
}

// MarshalText writes the date as String does.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes.
func (d *Date) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Date{}
		return nil
	}
	date, err := ParseDate(string(text))
	if err == nil {
		*d = date
	}
	return err
}

// Clock is a time of day on the wall, in seconds after midnight: 0 to 86400. The
// last one, 24:00, is the end of the day and not the start of the next.
type Clock int32

const endOfDay Clock = 86400

// ParseClock reads "17:00", "17:00:30" or "24:00".
func ParseClock(s string) (Clock, error) {
	bad := &Error{Op: "clock", Fault: Malformed, Detail: "want a time of day as 17:00 or 17:00:30"}
	if len(s) != 5 && len(s) != 8 || s[2] != ':' || len(s) == 8 && s[5] != ':' {
		return 0, bad
	}
	seconds, ok3 := 0, true
	if len(s) == 8 {
		seconds, ok3 = number(s[6:])
	}
	hours, ok1 := number(s[:2])
	minutes, ok2 := number(s[3:5])
	c := Clock(hours*3600 + minutes*60 + seconds)
	if !ok1 || !ok2 || !ok3 || minutes > 59 || seconds > 59 || c > endOfDay {
		return 0, bad
	}
	return c, nil
}

// String returns "17:00", or "17:00:30" if there are seconds.
func (c Clock) String() string {
	out := make([]byte, 0, 8)
	two := func(n Clock) { out = append(out, byte('0'+n/10%10), byte('0'+n%10)) }
	two(c / 3600)
	out = append(out, ':')
	two(c / 60 % 60)
	if c%60 != 0 {
		out = append(out, ':')
		two(c % 60)
	}
	return string(out)
}

// Shift says why a cut-off is not simply at the time of day that its schedule
// names.
type Shift uint8

const (
	OnTime  Shift = iota
	Gap           // clocks jumped over that time: the first instant after it
	Overlap       // clocks showed that time twice: the first of the two
	HalfDay       // a calendar closes earlier on that day
)

// String returns "on-time", "gap", "overlap" or "half-day".
func (s Shift) String() string {
	return [...]string{"on-time", "gap", "overlap", "half-day"}[s&3]
}

// Instant returns the first instant at which a clock in zone shows the date and
// time, or a later one. So a time that is skipped when clocks go forward is the
// instant of the jump, and a time that comes twice when they go back is the
// first of the two. It never falls as date and time rise. The result is in UTC.
func Instant(d Date, c Clock, zone *time.Location) (time.Time, Shift) {
	want := d.seconds() + int64(c)
	// No zone is as far as 26 hours from UTC: the clock there shows less than is
	// wanted. From here each stretch of constant offset is looked at in turn.
	t := time.Unix(want-26*3600, 0).In(zone)
	for {
		_, offset := t.Zone()
		start, end := t.ZoneBounds()
		at := want - int64(offset)
		if !start.IsZero() && at < start.Unix() {
			return start.UTC(), Gap
		}
		if end.IsZero() || at < end.Unix() {
			shift := OnTime
			if !end.IsZero() {
				if _, next := end.Zone(); want-int64(next) >= end.Unix() {
					shift = Overlap
				}
			}
			return time.Unix(at, 0).UTC(), shift
		}
		t = end
	}
}
