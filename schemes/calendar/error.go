package calendar

// Fault is what can be wrong with a question to a calendar. It is an error, so
// that errors.Is(err, Outside) works. The numbers are given once.
type Fault uint8

const (
	Malformed  Fault = 1 // a date or time of day in another form
	Outside    Fault = 2 // the calendar says nothing about this date
	NotInForce Fault = 3 // no version of the calendar was in force at that instant
	Unknown    Fault = 4 // no such calendar, currency or agent
	NoCalendar Fault = 5 // nobody's good days were asked for
	NotGood    Fault = 6 // the date is not a business day, and may not be moved
	NeverGood  Fault = 7 // no business day within a year
)

// Error returns the fault in words.
func (f Fault) Error() string {
	words := [...]string{"", "malformed", "date is outside the calendar's valid range", "no version in force",
		"not in the set", "no calendar was given", "not a business day", "no business day within a year"}
	if int(f) >= len(words) {
		return "unknown fault"
	}
	return words[f]
}

// Error is what went wrong, where. Its text is safe to log.
type Error struct {
	Op       string // "day", "roll", "next", …
	Fault    Fault
	Calendar string // "cny-cn.2": calendar and version, as far as known
	Date     Date
	Detail   string
}

// Error returns "op: calendar: date: fault (detail)".
func (e *Error) Error() string {
	s := "calendar " + e.Op
	if e.Calendar != "" {
		s += ": " + e.Calendar
	}
	if !e.Date.IsZero() {
		s += ": " + e.Date.String()
	}
	s += ": " + e.Fault.Error()
	if e.Detail != "" {
		s += " (" + e.Detail + ")"
	}
	return s
}

// Unwrap returns the fault.
func (e *Error) Unwrap() error { return e.Fault }
