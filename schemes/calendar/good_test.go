package calendar

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"pgregory.net/rapid"
)

func sandboxSet(t testing.TB) *Set {
	s, err := Parse(Sandbox())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func at(t testing.TB, s string) time.Time {
	i, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestADayIsWhatItsCalendarSays(t *testing.T) {
	s := sandboxSet(t)
	for _, row := range []struct{ calendar, asOf, date, kind, name string }{
		{"cny-sandbox", "2026-01-01T00:00:00Z", "2026-05-04", "working day", ""},
		{"cny-sandbox", "2026-05-01T00:00:00Z", "2026-05-04", "holiday", "Made-up day announced in April"},
		{"cny-sandbox", "2026-04-19T15:59:59Z", "2026-05-04", "working day", ""},
		{"cny-sandbox", "2026-04-19T16:00:00Z", "2026-05-04", "holiday", "Made-up day announced in April"},
		{"cny-sandbox", "2026-01-01T00:00:00Z", "2026-02-14", "make-up half day", "Made-up eve of Spring Week"},
		{"cny-sandbox", "2026-01-01T00:00:00Z", "2026-02-28", "make-up day", "Made-up exchange for Spring Week"},
		{"cny-sandbox", "2026-01-01T00:00:00Z", "2026-02-15", "weekend", ""},
		{"cny-sandbox", "2026-01-01T00:00:00Z", "2026-12-31", "half day", "Made-up year's end"},
		{"sar-sandbox", "2026-01-01T00:00:00Z", "2026-05-01", "weekend", ""},     // Friday
		{"sar-sandbox", "2026-01-01T00:00:00Z", "2026-05-02", "weekend", ""},     // Saturday
		{"sar-sandbox", "2026-01-01T00:00:00Z", "2026-05-03", "working day", ""}, // Sunday
		{"agent-sandbox", "2026-01-01T00:00:00Z", "2026-05-03", "working day", ""},
	} {
		c, err := s.Calendar(row.calendar, at(t, row.asOf))
		if err != nil {
			t.Fatal(err)
		}
		d, err := c.Day(mustDate(t, row.date))
		if err != nil || d.Kind.String() != row.kind || d.Name != row.name {
			t.Errorf("%s on %s as of %s: got %v %q %v", row.calendar, row.date, row.asOf, d.Kind, d.Name, err)
		}
	}
}

func TestAYearThatNobodyAnnouncedIsAnErrorAndNoBusinessDay(t *testing.T) {
	c, err := sandboxSet(t).Calendar("cny-sandbox", at(t, "2026-01-01T00:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"2025-12-31", "2028-01-03", "1999-06-01"} {
		d, err := c.Day(mustDate(t, s))
		if !errors.Is(err, Outside) || d.Business() || d.Kind != NotKnown {
			t.Errorf("%s: got %v, %v", s, d, err)
		}
		if ok, err := (Good{c}).Business(mustDate(t, s)); ok || !errors.Is(err, Outside) {
			t.Errorf("%s: got %v, %v", s, ok, err)
		}
	}
	if _, err := c.Day(Date{}); !errors.Is(err, Outside) {
		t.Errorf("no date: got %v", err)
	}
	_, err = Good{c}.AddBusinessDays(mustDate(t, "2027-12-30"), 2)
	want := "calendar day: cny-sandbox.1: 2028-01-01: date is outside the calendar's valid range (it knows 2026-01-01 to 2027-12-31)"
	if !errors.Is(err, Outside) || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestADateIsGoodForTwoCurrenciesIfItIsForBoth(t *testing.T) {
	s := sandboxSet(t)
	good, err := s.Good(at(t, "2026-01-01T00:00:00Z"), []tongma.Currency{tongma.USD, tongma.CNY}, []AgentID{"sandbox-agent"})
	if err != nil || good.Ref() != "agent-sandbox.1+cny-sandbox.1+usd-sandbox.1" {
		t.Fatalf("got %s, %v", good.Ref(), err)
	}
	for date, want := range map[string]bool{
		"2026-06-29": true, "2026-06-30": false /* agent */, "2026-07-03": false /* USD */, "2026-05-01": false, /* CNY */
		"2026-02-28": false /* worked in CNY only */, "2026-07-06": true,
	} {
		if ok, err := good.Business(mustDate(t, date)); ok != want || err != nil {
			t.Errorf("%s: got %v, %v", date, ok, err)
		}
	}
	if _, err := (Good{}).Business(mustDate(t, "2026-06-29")); !errors.Is(err, NoCalendar) {
		t.Errorf("nobody's days: got %v", err)
	}
	for _, ask := range []func() (Good, error){
		func() (Good, error) { return s.Good(time.Time{}, []tongma.Currency{tongma.JPY}, nil) },
		func() (Good, error) { return s.Good(time.Time{}, nil, []AgentID{"nobody"}) },
	} {
		if _, err := ask(); !errors.Is(err, Unknown) {
			t.Errorf("no calendar is known: got %v", err)
		}
	}
}

func TestAKnownHolidayIsNoBusinessDayEvenWhereTheOtherCalendarEnds(t *testing.T) {
	s, err := Parse([]byte(`
calendars:
  - {id: a, version: 1, zone: UTC, valid: {from: 2026-01-01, to: 2026-06-30}, weekend: [sunday]}
  - {id: b, version: 1, zone: UTC, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: [sunday], holidays: [{date: 2026-07-01, name: h}]}
currencies: {}
agents: {}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []Good{{s.Versions("a")[0], s.Versions("b")[0]}, {s.Versions("b")[0], s.Versions("a")[0]}} {
		if ok, err := good.Business(mustDate(t, "2026-07-01")); ok || err != nil {
			t.Errorf("got %v, %v", ok, err)
		}
		if ok, err := good.Business(mustDate(t, "2026-07-02")); ok || !errors.Is(err, Outside) {
			t.Errorf("got %v, %v", ok, err)
		}
	}
}

func TestValueDatesRoll(t *testing.T) {
	s, err := Parse([]byte(`
calendars:
  - id: a
    version: 1
    zone: UTC
    valid: {from: 2026-01-01, to: 2026-12-31}
    weekend: [saturday, sunday]
    holidays: [{date: 2026-12-31, name: last}, {date: 2026-05-29, name: h}]
currencies: {}
agents: {}`))
	if err != nil {
		t.Fatal(err)
	}
	good := Good{s.Versions("a")[0]}
	for _, row := range []struct {
		date string
		rule Roll
		want string
	}{
		{"2026-05-28", Exact, "2026-05-28"},
		{"2026-05-29", Exact, "not a business day"},
		{"2026-05-29", Roll(9), "not a business day"},
		{"2026-05-16", Following, "2026-05-18"},
		{"2026-05-16", ModifiedFollowing, "2026-05-18"},
		{"2026-05-29", Following, "2026-06-01"},
		{"2026-05-29", ModifiedFollowing, "2026-05-28"},
		{"2026-05-31", ModifiedFollowing, "2026-05-28"},
		{"2026-12-31", Following, "date is outside the calendar's valid range"},
		{"2026-12-31", ModifiedFollowing, "2026-12-30"}, // whatever January will be
	} {
		got, err := good.Roll(mustDate(t, row.date), row.rule)
		if words := fmt.Sprint(got, errors.Unwrap(err)); words != row.want+" <nil>" && words != " "+row.want {
			t.Errorf("%s %s: got %v, %v, want %s", row.date, row.rule, got, err, row.want)
		}
	}
}

func TestBusinessDaysAreCounted(t *testing.T) {
	good := Good{sandboxSet(t).Versions("cny-sandbox")[0]}
	for _, row := range []struct {
		from string
		n    int
		want string
	}{
		{"2026-02-13", 0, "2026-02-13"},
		{"2026-02-13", 1, "2026-02-14"}, // a Saturday that is worked
		{"2026-02-13", 2, "2026-02-23"},
		{"2026-02-15", 0, "2026-02-23"},
		{"2026-02-15", 1, "2026-02-23"},
		{"2026-02-15", -1, "2026-02-14"},
		{"2026-02-23", -2, "2026-02-13"},
		{"2026-09-25", 1, "2026-09-27"}, // a Sunday that is worked
		{"2026-09-30", 3, "2026-10-10"},
	} {
		if got, err := good.AddBusinessDays(mustDate(t, row.from), row.n); err != nil || got.String() != row.want {
			t.Errorf("%s %+d: got %v, %v, want %s", row.from, row.n, got, err, row.want)
		}
	}
}

func TestAYearOfHolidaysIsAnErrorAndNotAnEndlessSearch(t *testing.T) {
	var holidays strings.Builder
	for d := MakeDate(2026, 1, 1); d.Compare(MakeDate(2027, 9, 1)) < 0; d = d.Add(60) {
		fmt.Fprintf(&holidays, "{from: %s, to: %s, name: h}, ", d, d.Add(59))
	}
	s := everyDay(t, "UTC", `{id: a, at: "12:00"}`, ", holidays: ["+strings.TrimSuffix(holidays.String(), ", ")+"]")
	if c, err := s.Next(at(t, "2025-12-31T13:00:00Z")); !errors.Is(err, NeverGood) {
		t.Errorf("got %v, %v", c, err)
	}
	good, err := s.Good(at(t, "2025-12-31T13:00:00Z"))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := good.Roll(MakeDate(2026, 1, 1), Following); !errors.Is(err, NeverGood) || !d.IsZero() {
		t.Errorf("got %v, %v", d, err)
	}
}

func TestSoManyBusinessDaysThereAndBack(t *testing.T) {
	s := sandboxSet(t)
	rapid.Check(t, func(t *rapid.T) {
		var good Good
		for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom(s.Calendars()), 1, 3, rapid.ID).Draw(t, "calendars") {
			good = append(good, s.Versions(id)[0])
		}
		d := MakeDate(2026, 1, 1).Add(rapid.IntRange(0, 729).Draw(t, "day"))
		n := rapid.IntRange(-150, 150).Draw(t, "n")
		start, err := good.AddBusinessDays(d, 0)
		if err != nil {
			return
		}
		there, err := good.AddBusinessDays(start, n)
		if err != nil {
			if !errors.Is(err, Outside) {
				t.Fatal(err)
			}
			return
		}
		if ok, err := good.Business(there); !ok || err != nil {
			t.Fatalf("%v is not good: %v", there, err)
		}
		if back, err := good.AddBusinessDays(there, -n); err != nil || back != start {
			t.Fatalf("%v %+d is %v, and back %v, %v", start, n, there, back, err)
		}
		between := 0
		for e := min(start.day, there.day) + 1; e <= max(start.day, there.day); e++ {
			if ok, _ := good.Business(Date{e}); ok {
				between++
			}
		}
		if between != max(n, -n) {
			t.Fatalf("%d good days from %v to %v, not %d", between, start, there, n)
		}
	})
}

// A deadline is the end of a business day where the calendar is kept, counted from
// the day after.
func TestDeadlinesCountBusinessDays(t *testing.T) {
	set, err := Parse([]byte(plainSet))
	if err != nil {
		t.Fatal(err)
	}
	c := set.Versions("one")[0] // May Day is a Friday; Bangkok is seven hours ahead
	for _, row := range []struct {
		from string
		days int
		want string
	}{
		{"2026-04-29T03:00:00Z", 0, "2026-04-29T16:59:59.999Z"},
		{"2026-04-29T03:00:00Z", 1, "2026-04-30T16:59:59.999Z"},
		{"2026-04-29T17:00:00Z", 1, "2026-05-04T16:59:59.999Z"}, // the thirtieth already
		{"2026-04-29T03:00:00Z", 2, "2026-05-04T16:59:59.999Z"},
		{"2026-05-02T03:00:00Z", 1, "2026-05-04T16:59:59.999Z"}, // from a Saturday
		{"2026-12-30T03:00:00Z", 1, "2026-12-31T16:59:59.999Z"}, // a half day, whole
	} {
		from, err := time.Parse(time.RFC3339, row.from)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Deadline(from, row.days)
		if err != nil || got.UTC().Format(time.RFC3339Nano) != row.want {
			t.Errorf("%d days from %s: %v (%v), want %s", row.days, row.from, got.UTC(), err, row.want)
		}
	}
	if at, err := c.Deadline(time.Date(2026, 12, 31, 3, 0, 0, 0, time.UTC), 1); !errors.Is(err, Outside) || !at.IsZero() {
		t.Errorf("%v, %v", at, err)
	}
}
