package calendar

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
)

const plainSet = `name: x
calendars:
  - id: one
    version: 1
    zone: Asia/Bangkok
    valid: {from: 2026-01-01, to: 2026-12-31}
    weekend: [saturday, sunday]
    holidays:
      - {date: 2026-05-01, name: May}
    working_days: []
    half_days:
      - {date: 2026-12-31, closes: "12:00", name: End}
currencies: {THB: one}
agents: {bank: one}
schedules:
  - id: s
    model: gross
    currency: THB
    agent: bank
    zone: Asia/Bangkok
    cycles:
      - {id: a, at: "12:00"}
`

func TestWhatIsWrongIsToldWithItsLine(t *testing.T) {
	if _, err := Parse([]byte(plainSet)); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ old, new, want string }{
		{"weekend:", "weekends:", "line 7: /calendars/0/weekends: no such key; did you mean weekend?"},
		{"holidays:", "holidys:", "line 9: /calendars/0/holidys: no such key; did you mean holidays?"},
		{"[saturday, sunday]", "[saturday, sonday]", "line 7: /calendars/0/weekend/1: must be one of sunday, monday, tuesday, wednesday, thursday, friday, saturday; did you mean sunday?"},
		{"[saturday, sunday]", "[monday, tuesday, wednesday, thursday, friday, saturday, sunday]", "line 7: /calendars/0/weekend: has 7 items; at most 6 are allowed"},
		{"[saturday, sunday]", "saturday", "line 7: /calendars/0/weekend: must be a list"},
		{"    zone: Asia/Bangkok\n    valid", "    zone: Asia/Bangkog\n    valid", "line 5: /calendars/0/zone: is no zone of the IANA time zone database; did you mean Asia/Bangkok?"},
		{"    zone: Asia/Bangkok\n    valid", "    zone: Local\n    valid", "line 5: /calendars/0/zone: is no zone of the IANA time zone database"},
		{"    zone: Asia/Bangkok\n    valid", "    valid", "line 3: /calendars/0/zone: is missing"},
		{"to: 2026-12-31}", "to: 2025-12-31}", "line 6: /calendars/0/valid: must be up to 100 years from its first date to its last"},
		{"{date: 2026-05-01, name: May}", "{date: 2026-05-32, name: May}", "line 9: /calendars/0/holidays/0/date: must be a date as 2026-05-01"},
		{"{date: 2026-05-01, name: May}", "{date: 2027-05-01, name: May}", "line 9: /calendars/0/holidays/0: 2027-05-01 is not between 2026-01-01 and 2026-12-31, where the calendar is valid"},
		{"{date: 2026-05-01, name: May}", "{date: 2026-05-01}", "line 9: /calendars/0/holidays/0/name: is missing"},
		{"{date: 2026-05-01, name: May}", "{name: May}", "line 9: /calendars/0/holidays/0: must have a date, or for a holiday from and to"},
		{"{date: 2026-05-01, name: May}", "{from: 2026-05-01, date: 2026-05-02, name: May}", "line 9: /calendars/0/holidays/0: must have a date, or for a holiday from and to"},
		{"{date: 2026-05-01, name: May}", "{from: 2026-05-03, to: 2026-05-01, name: May}", "line 9: /calendars/0/holidays/0: must be up to 60 days from its first date to its last"},
		{"{date: 2026-05-01, name: May}", "{from: 2026-12-30, to: 2026-12-31, name: May}", "line 12: /calendars/0/half_days/0: 2026-12-31 is a holiday already: May"},
		{"working_days: []", "working_days: [{date: 2026-05-04, name: w}]", "line 10: /calendars/0/working_days/0: 2026-05-04 is no weekend, so it needs no make-up"},
		{"{date: 2026-12-31, closes", "{date: 2026-12-27, closes", "line 12: /calendars/0/half_days/0: 2026-12-27 is a weekend, so it is closed the whole day"},
		{`closes: "12:00"`, `closes: noon`, `line 12: /calendars/0/half_days/0/closes: must be a time of day from "00:00" to "24:00"`},
		{"{THB: one}", "{THB: ono}", "line 13: /currencies/THB: there is no such calendar; did you mean one?"},
		{"{THB: one}", "{THX: one}", `line 13: /currencies/THX: "THX" is no currency of ISO 4217`},
		{"{THB: one}", "{THB: one, THB: one}", "line 13: /currencies/THB: stands twice"},
		{"{bank: one}", "{Bank: one}", "line 14: /agents/Bank: is no name of an agent: lower-case letters, digits and hyphens, at most 32, a letter first"},
		{"agent: bank", "agent: bonk", "line 19: /schedules/0/agent: agents names no calendar for it; did you mean bank?"},
		{"currency: THB", "currency: CNY", "line 18: /schedules/0/currency: currencies names no calendar for it"},
		{"model: gross", "model: grass", "line 17: /schedules/0/model: must be one of multilateral, bilateral, gross; did you mean gross?"},
		{`- {id: a, at: "12:00"}`, `- {id: a, at: "12:00"}` + "\n      - {id: b, at: \"11:00\"}", "line 23: /schedules/0/cycles/1: must be later than the cycle before it"},
		{`- {id: a, at: "12:00"}`, `- {id: a, at: "10:00"}` + "\n      - {id: a, at: \"11:00\"}", "line 23: /schedules/0/cycles/1: cycle a stands twice"},
		{`- {id: a, at: "12:00"}`, `- {id: a, at: "00:00"}` + "\n      - {id: b, at: \"24:00\"}", "line 23: /schedules/0/cycles/1: 24:00 is the 00:00 of the next day, which has a cycle"},
		{`- {id: a, at: "12:00"}`, `- {id: a, at: "12:00", value_days: -1}`, "line 22: /schedules/0/cycles/0/value_days: must be a number from 0 to 30"},
		{"      - {id: a, at: \"12:00\"}\n", "      []\n", "line 22: /schedules/0/cycles: must be at least one cycle"},
		{"agent: bank\n    zone: Asia/Bangkok", "agent: bank\n    zone: Pacific/Kiritimati", ""},
		{"agent: bank\n    zone: Asia/Bangkok", "agent: bank\n    zone: Pacific/Honolulu", "line 16: /schedules/0: one.1 closes on 2026-12-31 at an hour that is another date in Pacific/Honolulu"},
		{"version: 1", "version: 0", "line 4: /calendars/0/version: must be a number from 1 to 999999999"},
		{"name: x", "name: &a x", "line 1: anchors, aliases and more than 8 levels are not allowed"},
		{"name: x", "name: x\n---\nname: y", "line 2: a second document"},
		{"name: x", "nam: x\nname: y", "line 1: /nam: no such key; did you mean name?"},
		{"name: x", "[", "line 2: did not find expected node content"},
	} {
		source := strings.Replace(plainSet, row.old, row.new, 1)
		if source == plainSet {
			t.Fatalf("%q is not in the source", row.old)
		}
		s, err := Parse([]byte(source))
		if row.want == "" {
			if err != nil {
				t.Errorf("%s: got %v", row.new, err)
			}
			continue
		}
		var wrong *ParseError
		if !errors.As(err, &wrong) || s != nil {
			t.Fatalf("%s: got %v", row.new, err)
		}
		if got := wrong.Problems[0].String(); got != row.want || tongma.ReasonOf(err) == tongma.Internal {
			t.Errorf("%s:\n got %s\nwant %s", row.new, got, row.want)
		}
	}
}

func TestVersionsFollowEachOther(t *testing.T) {
	version := func(n, more string) string {
		return "  - {id: one, version: " + n + ", zone: Asia/Bangkok, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: []" + more + "}\n"
	}
	closes := func(clock string) string {
		return ", effective_from: 2026-05-05T13:00:00+07:00, half_days: [{date: 2026-05-05, name: h, closes: \"" + clock + "\"}]"
	}
	for _, row := range []struct{ versions, want string }{
		{version("1", "") + version("2", ""), "one.2 must have an effective_from later than that of one.1"},
		{version("1", "") + version("1", ", effective_from: 2026-02-01T00:00:00Z"), "one.1 stands twice"},
		{version("3", ", effective_from: 2026-03-01T00:00:00Z") + version("1", "") + version("2", ", effective_from: 2026-02-01T00:00:00Z"), ""},
		{version("3", ", effective_from: 2026-01-01T00:00:00Z") + version("1", "") + version("2", ", effective_from: 2026-02-01T00:00:00Z"), "one.3 must have an effective_from later than that of one.2"},
		{version("1", "") + version("2", ", effective_from: 2026-02-01"), "must be an instant with its offset, as 2026-05-01T00:00:00+08:00"},
		{version("1", "") + version("2", closes("14:00")), ""},
		{version("1", "") + version("2", closes("12:00")), "one.2 closes on 2026-05-05 at 12:00, before it is in force"},
		{version("1", strings.Replace(closes("12:00"), "T13", "T10", 1)) + version("2", closes("12:00")), ""},
	} {
		s, err := Parse([]byte("calendars:\n" + row.versions + "currencies: {THB: one}\nagents: {}\n"))
		if row.want == "" && err == nil {
			for i, c := range s.Versions("one") {
				if c.Version() != uint64(i+1) {
					t.Errorf("%s: version %d is at place %d", row.versions, c.Version(), i)
				}
			}
			continue
		}
		if row.want == "" || err == nil || !strings.HasSuffix(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", row.versions, err, row.want)
		}
	}
}

func TestProblemsAreAllToldUpToABound(t *testing.T) {
	var wrong *ParseError
	_, err := Parse([]byte(strings.Replace(strings.Replace(plainSet, "version: 1", "version: x", 1), "model: gross", "model: x", 1)))
	if !errors.As(err, &wrong) || len(wrong.Problems) != 2 {
		t.Errorf("got %v", err)
	}
	_, err = Parse([]byte("a: 1\n" + strings.Repeat("? [x]\n: 1\n", 100)))
	if !errors.As(err, &wrong) || len(wrong.Problems) != maxProblems {
		t.Errorf("got %v", err)
	}
	if _, err = Parse(make([]byte, MaxSource+1)); tongma.ReasonOf(err) != tongma.MessageTooLong {
		t.Errorf("got %v", err)
	}
}

func TestTheSandboxSaysThatItsHolidaysAreMadeUp(t *testing.T) {
	s := sandboxSet(t)
	for _, id := range s.Calendars() {
		for _, c := range s.Versions(id) {
			for _, d := range c.Special() {
				if !strings.HasPrefix(d.Name, "Made-up ") {
					t.Errorf("%s: %s is called %s", c.Ref(), d.Date, d.Name)
				}
			}
		}
	}
}

// FuzzParse: whatever the bytes, Parse gives a set or words; and whatever the
// set, Next gives a later instant on a business day, or words.
func FuzzParse(f *testing.F) {
	f.Add(Sandbox(), int64(1_770_000_000))
	f.Add([]byte(plainSet), int64(1_798_000_000))
	f.Add([]byte("calendars: [{id: a, version: 1, zone: UTC, valid: {from: 0001-01-01, to: 0001-01-01}, weekend: []}]\ncurrencies: {USD: a}\nagents: {b: a}\n"+
		"schedules: [{id: s, model: gross, currency: USD, agent: b, zone: Pacific/Apia, cycles: [{id: a, at: \"24:00\"}]}]"), int64(-62_135_596_800))
	f.Add([]byte("? [a]\n: b"), int64(0))
	f.Add([]byte("a: &x [*x]"), int64(0))
	f.Fuzz(func(t *testing.T, source []byte, unix int64) {
		s, err := Parse(source)
		if err != nil {
			if err.Error() == "" || s != nil {
				t.Fatal("an error without words, or with a set")
			}
			return
		}
		after := time.Unix(unix, 0)
		for _, schedule := range s.Schedules() {
			c, err := schedule.Next(after)
			if err != nil {
				if err.Error() == "" || c != (Cutoff{}) {
					t.Fatal("an error without words, or with a cut-off")
				}
				continue
			}
			if !c.Instant.After(after) {
				t.Fatalf("%v is not after %v", c, after)
			}
			again, err := schedule.Next(c.Instant.Add(-1))
			if err != nil || again != c {
				t.Fatalf("%v is %v a moment before: %v", c, again, err)
			}
			if good, err := s.Good(c.Instant, []tongma.Currency{schedule.Currency()}, []AgentID{schedule.Agent()}); err == nil && c.Shift != HalfDay {
				if ok, err := good.Business(c.Date); !ok || err != nil {
					t.Fatalf("%v is on no business day: %v", c, err)
				}
			}
		}
	})
}

// A section of a larger document reads as the source alone does, and its faults are
// told at the document's lines and paths.
func TestASectionReadsAsASource(t *testing.T) {
	indented := "  " + strings.ReplaceAll(strings.TrimSpace(plainSet), "\n", "\n  ")
	document := "name: market\nother: [{anything: &x 1}]\ndays:\n" + indented + "\nafter: 1\n"
	s, err := ParseSection([]byte(document), "days")
	if err != nil {
		t.Fatal(err)
	}
	alone, err := Parse([]byte(plainSet))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	one, _ := s.Schedule("s")
	two, _ := alone.Schedule("s")
	a, err1 := one.Next(at)
	b, err2 := two.Next(at)
	if err1 != nil || err2 != nil || a.String() != b.String() || s.Hash() == alone.Hash() {
		t.Errorf("%v (%v), alone %v (%v)", a, err1, b, err2)
	}
	if id, ok := s.CalendarOf(tongma.THB); !ok || id != "one" || !one.Asks("one") || one.Asks("two") {
		t.Error("a calendar was lost or made up")
	}
	for _, row := range []struct{ old, new, want string }{
		{"weekend:", "weekends:", "line 10: /days/calendars/0/weekends: no such key; did you mean weekend?"},
		{"name: May", "name: &a May", "line 12: anchors, aliases and more than 8 levels are not allowed"},
		{"days:\n", "nights:\n", "line 1: /days: is missing"},
	} {
		s, err := ParseSection([]byte(strings.Replace(document, row.old, row.new, 1)), "days")
		var wrong *ParseError
		if !errors.As(err, &wrong) || s != nil || wrong.Problems[0].String() != row.want {
			t.Errorf("%s: got %v, want %s", row.new, err, row.want)
		}
	}
	for _, bad := range []string{"", "- a", "days:", "days: 1", "days: ["} {
		if s, err := ParseSection([]byte(bad), "days"); err == nil || s != nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := ParseSection(make([]byte, MaxDocument+1), "days"); tongma.ReasonOf(err) != tongma.MessageTooLong {
		t.Error(err)
	}
}

// TestNothingIsNoCalendar, and the refusal says so.
func TestNothingIsNoCalendar(t *testing.T) {
	for _, source := range []string{"", "# soon\n"} {
		if _, err := Parse([]byte(source)); err == nil || !strings.Contains(err.Error(), "nothing is in it") {
			t.Errorf("%q: %v", source, err)
		}
	}
}
