package calendar

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestADateIsADayThatExists(t *testing.T) {
	for _, s := range []string{"", "2026-02-29", "2026-13-01", "2026-00-10", "2026-01-00", "0000-01-01", "2026-1-01", "2026-01-1 ",
		"+026-01-01", "2026/01/01", "2026-04-31", "20260-1-01", "２026-01-1"} {
		if d, err := ParseDate(s); !errors.Is(err, Malformed) || !d.IsZero() {
			t.Errorf("%q: got %v, %v", s, d, err)
		}
	}
	if !MakeDate(10000, 1, 1).IsZero() || !MakeDate(9999, 12, 31).Add(1).IsZero() || !MakeDate(1, 1, 1).Add(-1).IsZero() || !(Date{}).Add(5).IsZero() {
		t.Error("a date outside the years 1 to 9999")
	}
	if MakeDate(9999, 12, 31).day != lastDay || MakeDate(1970, 1, 1).day != epochDay || MakeDate(1, 1, 1).day != 1 {
		t.Error("days are not counted from year 1")
	}
}

func TestDatesAgreeWithTheStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := Date{int32(rapid.IntRange(1, lastDay).Draw(t, "day"))}
		std := time.Date(1, 1, int(d.day), 0, 0, 0, 0, time.UTC)
		if d.Weekday() != std.Weekday() || d.String() != std.Format(time.DateOnly) || DateOf(std) != d {
			t.Fatalf("%v is not %v", d, std)
		}
		back, err := ParseDate(d.String())
		if err != nil || back != d {
			t.Fatalf("%v read back as %v, %v", d, back, err)
		}
		if n := rapid.IntRange(-5000, 5000).Draw(t, "n"); !d.Add(n).IsZero() && d.Add(n).String() != std.AddDate(0, 0, n).Format(time.DateOnly) {
			t.Fatalf("%v and %d days is %v", d, n, d.Add(n))
		}
	})
}

func TestAClockIsATimeOfOneDay(t *testing.T) {
	for _, s := range []string{"00:00", "17:00", "17:00:30", "23:59:59", "24:00"} {
		if c, err := ParseClock(s); err != nil || c.String() != s {
			t.Errorf("%s: got %v, %v", s, c, err)
		}
	}
	for _, s := range []string{"", "7:00", "24:01", "25:00", "12:60", "12:00:60", "12-00", "1 :00", "-1:00", "12:00:0", "12:00 PM"} {
		if _, err := ParseClock(s); !errors.Is(err, Malformed) {
			t.Errorf("%q: got %v", s, err)
		}
	}
}

func mustZone(t testing.TB, name string) *time.Location {
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func mustDate(t testing.TB, s string) Date {
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAWallTimeIsItsFirstValidInstant(t *testing.T) {
	for _, row := range []struct{ zone, date, clock, utc, shift string }{
		{"Asia/Shanghai", "2026-05-06", "17:00", "2026-05-06T09:00:00Z", "on-time"},
		{"Asia/Shanghai", "2026-05-06", "24:00", "2026-05-06T16:00:00Z", "on-time"},
		{"Asia/Kathmandu", "2026-05-06", "12:00", "2026-05-06T06:15:00Z", "on-time"},
		{"America/New_York", "2026-03-08", "01:59:59", "2026-03-08T06:59:59Z", "on-time"},
		{"America/New_York", "2026-03-08", "02:00", "2026-03-08T07:00:00Z", "gap"}, // 03:00 daylight time
		{"America/New_York", "2026-03-08", "02:30", "2026-03-08T07:00:00Z", "gap"},
		{"America/New_York", "2026-03-08", "03:00", "2026-03-08T07:00:00Z", "on-time"},
		{"America/New_York", "2026-11-01", "00:59", "2026-11-01T04:59:00Z", "on-time"},
		{"America/New_York", "2026-11-01", "01:00", "2026-11-01T05:00:00Z", "overlap"}, // still daylight time
		{"America/New_York", "2026-11-01", "01:30", "2026-11-01T05:30:00Z", "overlap"},
		{"America/New_York", "2026-11-01", "02:00", "2026-11-01T07:00:00Z", "on-time"},
		{"America/New_York", "2026-11-01", "24:00", "2026-11-02T05:00:00Z", "on-time"},
		{"Europe/London", "2026-03-29", "01:15", "2026-03-29T01:00:00Z", "gap"},
		{"Europe/London", "2026-10-25", "01:15", "2026-10-25T00:15:00Z", "overlap"},
		{"Europe/London", "2047-03-31", "01:15", "2047-03-31T01:00:00Z", "gap"}, // by rule, past the table
		{"Africa/Cairo", "2026-04-24", "00:30", "2026-04-23T22:00:00Z", "gap"},  // the jump is at midnight
		{"Africa/Cairo", "2026-04-23", "24:00", "2026-04-23T22:00:00Z", "gap"},
		{"Australia/Lord_Howe", "2026-10-04", "02:15", "2026-10-03T15:30:00Z", "gap"}, // of half an hour
		{"Pacific/Apia", "2011-12-30", "17:00", "2011-12-30T10:00:00Z", "gap"},        // a day that never was
		{"Pacific/Apia", "2011-12-31", "00:00", "2011-12-30T10:00:00Z", "on-time"},
	} {
		clock, err := ParseClock(row.clock)
		if err != nil {
			t.Fatal(err)
		}
		at, shift := Instant(mustDate(t, row.date), clock, mustZone(t, row.zone))
		if got := at.Format(time.RFC3339); got != row.utc || shift.String() != row.shift {
			t.Errorf("%s %s %s: got %s %s, want %s %s", row.zone, row.date, row.clock, got, shift, row.utc, row.shift)
		}
	}
}

func TestInstantsNeverFallAsWallTimesRise(t *testing.T) {
	zones := []string{"UTC", "Asia/Shanghai", "America/New_York", "Europe/London", "Australia/Lord_Howe", "Pacific/Apia",
		"Africa/Cairo", "America/Sao_Paulo", "Africa/Casablanca", "Asia/Manila", "Pacific/Kwajalein", "Antarctica/Troll"}
	rapid.Check(t, func(t *rapid.T) {
		zone, err := time.LoadLocation(rapid.SampledFrom(zones).Draw(t, "zone"))
		if err != nil {
			t.Fatal(err)
		}
		d := MakeDate(1900, 1, 1).Add(rapid.IntRange(0, 60000).Draw(t, "day"))
		c := Clock(rapid.IntRange(0, int(endOfDay)).Draw(t, "clock"))
		at, shift := Instant(d, c, zone)
		shown := at.In(zone)
		wall := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), 0, time.UTC).Unix()
		want := d.seconds() + int64(c)
		if wall < want || (wall > want) && shift != Gap {
			t.Fatalf("%v %v is %v (%v)", d, c, shown, shift)
		}
		// It is the first: a second before, the wall shows less.
		before := at.Add(-time.Second).In(zone)
		if w := time.Date(before.Year(), before.Month(), before.Day(), before.Hour(), before.Minute(), before.Second(), 0, time.UTC).Unix(); w >= want {
			t.Fatalf("%v %v is %v, but %v shows as much", d, c, shown, before)
		}
		if later, _ := Instant(d, min(c+Clock(rapid.IntRange(0, 7200).Draw(t, "more")), endOfDay), zone); later.Before(at) {
			t.Fatalf("%v %v: a later time is an earlier instant", d, c)
		}
	})
}
