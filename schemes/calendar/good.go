package calendar

// Good is the days that are business days in every one of its calendars: what a
// value date must be, when currency and agent, or two currencies, are concerned.
// An empty Good has no good days, and says so with an error (NoCalendar).
type Good []*Calendar

// Roll says where a value date goes that is not a good day.
type Roll uint8

const (
	Exact             Roll = iota // nowhere: it is an error (NotGood)
	Following                     // to the next good day
	ModifiedFollowing             // to the next, or if that is in another month, to the one before
)

// String returns "exact", "following" or "modified-following".
func (r Roll) String() string {
	return [...]string{"exact", "following", "modified-following", "unknown"}[r&3]
}

// Business tells whether a date is a business day in all calendars. If one of
// them does not reach the date, the others' no is still a no; a yes needs all.
func (g Good) Business(d Date) (bool, error) {
	if len(g) == 0 {
		return false, &Error{Op: "business", Fault: NoCalendar, Date: d}
	}
	var unknown error
	for _, c := range g {
		day, err := c.Day(d)
		if err == nil && !day.Business() {
			return false, nil
		}
		if unknown == nil {
			unknown = err
		}
	}
	return unknown == nil, unknown
}

// patience is how many days in a row are looked at for a business day.
const patience = 366

// step returns the first good day after d in direction dir, which is 1 or -1.
func (g Good) step(d Date, dir int) (Date, error) {
	from := d
	for range patience {
		if d = d.Add(dir); d.IsZero() {
			return Date{}, &Error{Op: "step", Fault: Outside, Date: from}
		}
		if ok, err := g.Business(d); ok || err != nil {
			return orNone(d, err)
		}
	}
	return Date{}, &Error{Op: "step", Fault: NeverGood, Calendar: g.Ref(), Date: from}
}

// orNone keeps a date that is not known to be right from passing as one.
func orNone(d Date, err error) (Date, error) {
	if err != nil {
		return Date{}, err
	}
	return d, nil
}

// Roll returns d if it is a good day, and otherwise the day that the rule gives.
func (g Good) Roll(d Date, rule Roll) (Date, error) {
	if ok, err := g.Business(d); ok || err != nil {
		return orNone(d, err)
	}
	if rule != Following && rule != ModifiedFollowing {
		return Date{}, &Error{Op: "roll", Fault: NotGood, Date: d}
	}
	if rule == Following {
		return g.step(d, 1)
	}
	// Within the month only: whether next month's days are known does not matter.
	for e := d.Add(1); e.sameMonth(d); e = e.Add(1) {
		if ok, err := g.Business(e); ok || err != nil {
			return orNone(e, err)
		}
	}
	return g.step(d, -1)
}

// AddBusinessDays returns the n-th good day after d, or before it if n is below
// zero; d itself need not be good and is not counted. For n = 0 it is d, or the
// next good day if d is none. From a good day, n days there and n days back is
// where one started.
func (g Good) AddBusinessDays(d Date, n int) (Date, error) {
	if n == 0 {
		return g.Roll(d, Following)
	}
	dir := 1
	if n < 0 {
		dir = -1
	}
	for ; n != 0; n -= dir {
		var err error
		if d, err = g.step(d, dir); err != nil {
			return Date{}, err
		}
	}
	return d, nil
}
