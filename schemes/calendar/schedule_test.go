package calendar

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"pgregory.net/rapid"
)

func schedule(t testing.TB, s *Set, id string) *Schedule {
	found, ok := s.Schedule(id)
	if !ok {
		t.Fatalf("no schedule %s", id)
	}
	return found
}

// cutoffs runs a script: each line of want is a cut-off in UTC, its cycle, its
// settlement date, and the shift if there is one. The lines follow each other.
func cutoffs(t *testing.T, s *Schedule, after, want string) {
	t.Helper()
	instant := at(t, after)
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		line = strings.Join(strings.Fields(line), " ")
		c, err := s.Next(instant)
		got := fmt.Sprintf("%s %s %s", c.Instant.Format(time.RFC3339), c.Cycle, c.SettlementDate)
		if c.Shift != OnTime {
			got += " " + c.Shift.String()
		}
		if err != nil {
			got = errors.Unwrap(err).Error()
		}
		if got != line {
			t.Fatalf("%s after %v:\n got %s (%v)\nwant %s", s.ID(), instant, got, c, line)
		}
		instant = c.Instant
	}
}

func TestCutOffsInShanghaiKeepHolidaysHalfDaysAndMakeUpDays(t *testing.T) {
	s := schedule(t, sandboxSet(t), "cny-net")
	cutoffs(t, s, "2026-02-13T08:00:00Z", `
		2026-02-13T09:00:00Z evening 2026-02-13
		2026-02-13T15:00:00Z night   2026-02-14
		2026-02-14T02:30:00Z morning 2026-02-14
		2026-02-14T04:30:00Z night   2026-02-23 half-day
		2026-02-23T02:30:00Z morning 2026-02-23`)
	cutoffs(t, s, "2026-06-29T10:00:00Z", `
		2026-06-29T15:00:00Z night   2026-07-01
		2026-07-01T02:30:00Z morning 2026-07-01`) // the agent is closed in between
	cutoffs(t, s, "2027-12-31T09:00:00Z", `
		date is outside the calendar's valid range`) // the night's value date is not known
}

func TestAHolidayThatIsAnnouncedLateIsKeptFromThenOn(t *testing.T) {
	set := sandboxSet(t)
	s := schedule(t, set, "cny-net")
	cutoffs(t, s, "2026-04-30T14:00:00Z", `
		2026-04-30T15:00:00Z night   2026-05-05
		2026-05-05T02:30:00Z morning 2026-05-05`)
	c, err := s.Next(at(t, "2026-04-19T15:00:00Z"))
	if err != nil || c.CalendarVersion != "agent-sandbox.1+cny-sandbox.2" {
		t.Errorf("got %v, %v", c.CalendarVersion, err)
	}
	c, err = s.Next(at(t, "2026-04-17T14:00:00Z"))
	if err != nil || c.CalendarVersion != "agent-sandbox.1+cny-sandbox.1" {
		t.Errorf("got %v, %v", c.CalendarVersion, err)
	}
	// Without the second version the day is a business day, and says by which version.
	source := strings.Split(string(Sandbox()), "  # What a late announcement looks like")[0] + "  - id: thb-sandbox" +
		strings.SplitN(string(Sandbox()), "  - id: thb-sandbox", 2)[1]
	before, err := Parse([]byte(source))
	if err != nil {
		t.Fatal(err)
	}
	cutoffs(t, schedule(t, before, "cny-net"), "2026-04-30T14:00:00Z", `
		2026-04-30T15:00:00Z night   2026-05-04
		2026-05-04T02:30:00Z morning 2026-05-04`)
	if before.Hash() == set.Hash() {
		t.Error("two sources, one hash")
	}
}

func TestCutOffsInRiyadhRestOnFridayAndSaturday(t *testing.T) {
	cutoffs(t, schedule(t, sandboxSet(t), "sar-net"), "2026-05-06T13:00:00Z", `
		2026-05-07T12:30:00Z day 2026-05-07
		2026-05-10T12:30:00Z day 2026-05-10
		2026-05-11T12:30:00Z day 2026-05-11`)
}

func TestCutOffsInBangkokSettleOnTheNextBusinessDay(t *testing.T) {
	cutoffs(t, schedule(t, sandboxSet(t), "thb-net"), "2026-04-10T00:00:00Z", `
		2026-04-10T05:00:00Z noon  2026-04-16
		2026-04-10T15:00:00Z night 2026-04-16
		2026-04-16T05:00:00Z noon  2026-04-17`)
}

func TestCutOffsInLondonKeepWallTimeOverSummer(t *testing.T) {
	s := schedule(t, sandboxSet(t), "gbp-gross")
	cutoffs(t, s, "2026-03-27T00:00:00Z", `
		2026-03-27T16:20:00Z day 2026-03-27
		2026-03-30T15:20:00Z day 2026-03-30`)
	cutoffs(t, s, "2026-10-23T00:00:00Z", `
		2026-10-23T15:20:00Z day 2026-10-23
		2026-10-26T16:20:00Z day 2026-10-26`)
	cutoffs(t, s, "2026-12-24T17:00:00Z", `
		2026-12-29T16:20:00Z day 2026-12-29`)
}

func TestAValueDateAcrossCurrenciesIsGoodInBoth(t *testing.T) {
	s := schedule(t, sandboxSet(t), "usd-cny")
	cutoffs(t, s, "2026-04-29T00:00:00Z", `
		2026-04-29T21:00:00Z day 2026-05-05
		2026-04-30T21:00:00Z day 2026-05-05`) // 1 and 4 May are good in dollars only
	cutoffs(t, s, "2026-09-29T00:00:00Z", `
		2026-09-29T21:00:00Z day 2026-10-08
		2026-09-30T21:00:00Z day 2026-10-08`)
	cutoffs(t, s, "2026-11-26T00:00:00Z", `
		2026-11-27T18:00:00Z day 2026-12-01 half-day`)
}

const dst = `
calendars:
  - {id: open, version: 1, zone: %[1]s, valid: {from: 2011-12-01, to: 2027-12-31}, weekend: []%[3]s}
currencies: {USD: open}
agents: {agent: open}
schedules:
  - id: s
    model: multilateral
    currency: USD
    agent: agent
    zone: %[1]s
    cycles: [%[2]s]
`

func everyDay(t testing.TB, zone, cycles, more string) *Schedule {
	s, err := Parse(fmt.Appendf(nil, dst, zone, cycles, more))
	if err != nil {
		t.Fatal(err)
	}
	return schedule(t, s, "s")
}

func TestACutOffInAGapIsTheInstantOfTheJump(t *testing.T) {
	s := everyDay(t, "America/New_York", `{id: a, at: "02:30"}`, "")
	cutoffs(t, s, "2026-03-07T00:00:00Z", `
		2026-03-07T07:30:00Z a 2026-03-07
		2026-03-08T07:00:00Z a 2026-03-08 gap
		2026-03-09T06:30:00Z a 2026-03-09`)
}

func TestOfCyclesOnOneInstantTheLastRuns(t *testing.T) {
	s := everyDay(t, "America/New_York", `{id: a, at: "02:15"}, {id: b, at: "02:45"}, {id: c, at: "03:00"}, {id: d, at: "04:00"}`, "")
	cutoffs(t, s, "2026-03-07T09:30:00Z", `
		2026-03-08T07:00:00Z c 2026-03-08
		2026-03-08T08:00:00Z d 2026-03-08
		2026-03-09T06:15:00Z a 2026-03-09`)
	closes := `, half_days: [{date: 2026-05-05, closes: "12:30", name: h}]`
	s = everyDay(t, "America/New_York", `{id: a, at: "11:00"}, {id: b, at: "12:30"}, {id: c, at: "14:00"}, {id: d, at: "17:00"}`, closes)
	cutoffs(t, s, "2026-05-05T04:00:00Z", `
		2026-05-05T15:00:00Z a 2026-05-05
		2026-05-05T16:30:00Z d 2026-05-05 half-day
		2026-05-06T15:00:00Z a 2026-05-06`)
}

func TestACutOffInAnOverlapComesOnce(t *testing.T) {
	s := everyDay(t, "America/New_York", `{id: a, at: "01:30"}`, "")
	cutoffs(t, s, "2026-10-31T12:00:00Z", `
		2026-11-01T05:30:00Z a 2026-11-01 overlap
		2026-11-02T06:30:00Z a 2026-11-02`)
	// Between the two 01:30s the next cut-off is tomorrow's.
	cutoffs(t, s, "2026-11-01T06:29:59Z", `
		2026-11-02T06:30:00Z a 2026-11-02`)
}

func TestMidnightCutOffsSurviveJumpsOverMidnight(t *testing.T) {
	s := everyDay(t, "Africa/Cairo", `{id: a, at: "12:00"}, {id: end, at: "24:00"}`, "")
	cutoffs(t, s, "2026-04-22T12:00:00Z", `
		2026-04-22T22:00:00Z end 2026-04-22
		2026-04-23T10:00:00Z a   2026-04-23
		2026-04-23T22:00:00Z end 2026-04-23 gap
		2026-04-24T09:00:00Z a   2026-04-24
		2026-04-24T21:00:00Z end 2026-04-24`)
	s = everyDay(t, "Africa/Cairo", `{id: a, at: "00:15"}, {id: b, at: "23:59"}`, "")
	cutoffs(t, s, "2026-04-23T12:00:00Z", `
		2026-04-23T21:59:00Z b 2026-04-23
		2026-04-23T22:00:00Z a 2026-04-24 gap
		2026-04-24T20:59:00Z b 2026-04-24`)
	s = everyDay(t, "Pacific/Apia", `{id: a, at: "00:00"}, {id: b, at: "17:00"}`, "")
	cutoffs(t, s, "2011-12-30T00:00:00Z", `
		2011-12-30T03:00:00Z b 2011-12-29
		2011-12-30T10:00:00Z a 2011-12-31
		2011-12-31T03:00:00Z b 2011-12-31`)
}

func TestAPaymentAtTheCutOffIsInTheNextWindow(t *testing.T) {
	s := schedule(t, sandboxSet(t), "cny-net")
	for committed, want := range map[string]string{
		"2026-03-02T14:59:59Z": "2026-03-03", // the night's
		"2026-03-02T08:59:59Z": "2026-03-02",
		"2026-03-02T09:00:00Z": "2026-03-03",
	} {
		if d, err := s.SettlementDate(at(t, committed)); err != nil || d.String() != want {
			t.Errorf("%s: got %v, %v, want %s", committed, d, err, want)
		}
	}
}

func TestModifiedFollowingNeverSettlesBeforeTheCutOff(t *testing.T) {
	s, err := Parse([]byte(`
calendars:
  - {id: a, version: 1, zone: UTC, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: []}
  - {id: b, version: 1, zone: UTC, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: [], holidays: [{from: 2026-05-30, to: 2026-06-02, name: h}]}
currencies: {USD: a}
agents: {agent: a}
schedules:
  - {id: s, model: gross, currency: USD, agent: agent, zone: UTC, roll: modified-following, good_in: [b], cycles: [{id: day, at: "12:00"}]}
  - {id: later, model: gross, currency: USD, agent: agent, zone: UTC, value_days: 2, roll: modified-following, good_in: [b], cycles: [{id: day, at: "12:00"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	cutoffs(t, schedule(t, s, "s"), "2026-05-29T11:00:00Z", `
		2026-05-29T12:00:00Z day 2026-05-29
		2026-05-30T12:00:00Z day 2026-06-03`)
	cutoffs(t, schedule(t, s, "later"), "2026-05-29T11:00:00Z", `
		2026-05-29T12:00:00Z day 2026-05-29
		2026-05-30T12:00:00Z day 2026-06-03`)
}

func TestASameDayClosureStopsTheCutOffsThatAreStillToCome(t *testing.T) {
	s, err := Parse([]byte(`
calendars:
  - {id: a, version: 1, zone: Asia/Hong_Kong, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: [saturday, sunday]}
  - {id: a, version: 2, effective_from: 2026-07-15T12:00:00+08:00, zone: Asia/Hong_Kong, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: [saturday, sunday],
     holidays: [{date: 2026-07-15, name: typhoon}]}
  - {id: b, version: 7, effective_from: 2026-01-01T00:00:00Z, zone: UTC, valid: {from: 2026-01-01, to: 2026-12-31}, weekend: []}
currencies: {HKD: a}
agents: {agent: b}
schedules:
  - {id: s, model: multilateral, currency: HKD, agent: agent, zone: Asia/Hong_Kong, cycles: [{id: noon, at: "11:00"}, {id: night, at: "17:00"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	cutoffs(t, schedule(t, s, "s"), "2026-07-14T10:00:00Z", `
		2026-07-15T03:00:00Z noon 2026-07-15
		2026-07-16T03:00:00Z noon 2026-07-16`)
	cutoffs(t, schedule(t, s, "s"), "2025-12-31T00:00:00Z", `
		no version in force`)
}

func TestNextStrictlyIncreasesAndEveryCutOffIsOnABusinessDay(t *testing.T) {
	set := sandboxSet(t)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.SampledFrom(set.Schedules()).Draw(t, "schedule")
		after := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 60_000_000).Draw(t, "seconds")) * time.Second)
		for range 12 {
			c, err := s.Next(after)
			if errors.Is(err, Outside) {
				return
			}
			if err != nil || !c.Instant.After(after) {
				t.Fatalf("%v after %v: %v", c, after, err)
			}
			good, err := s.Good(c.Instant)
			if ok, bad := good.Business(c.Date); !ok || bad != nil || err != nil {
				t.Fatalf("%v is on no business day: %v %v", c, bad, err)
			}
			if ok, bad := good.Business(c.SettlementDate); !ok || bad != nil || c.SettlementDate.Compare(c.Date) < 0 {
				t.Fatalf("%v settles on no business day: %v", c, bad)
			}
			// Asked from any moment before it, it is the same cut-off.
			gap := c.Instant.Sub(after)
			middle := after.Add(time.Duration(rapid.Int64Range(0, int64(gap)-1).Draw(t, "moment")))
			if again, err := s.Next(middle); err != nil || again != c {
				t.Fatalf("after %v it is %v, after %v %v, %v", after, c, middle, again, err)
			}
			after = c.Instant
		}
	})
}

// TestCutOffsAgreeWithAScanOfTheWall finds the same cut-offs by looking at a clock
// on the wall every ten minutes, in zones that change theirs.
func TestCutOffsAgreeWithAScanOfTheWall(t *testing.T) {
	for _, zone := range []string{"America/New_York", "Europe/London", "Asia/Shanghai", "Asia/Riyadh", "Australia/Lord_Howe", "Africa/Cairo"} {
		s := everyDay(t, zone, `{id: a, at: "00:20"}, {id: b, at: "01:40"}, {id: c, at: "02:10"}, {id: d, at: "02:50"}, {id: e, at: "16:30"}`, "")
		from, until := at(t, "2026-01-02T00:00:00Z"), at(t, "2027-01-02T00:00:00Z")
		got, err := s.Between(from, until, 10000)
		if err != nil {
			t.Fatal(err)
		}
		// A cut-off is where the furthest that the wall has ever shown passes a cycle.
		var want []time.Time
		loc := mustZone(t, zone)
		wall := func(i time.Time) string { return i.In(loc).Format("2006-01-02 15:04") }
		furthest := wall(from)
		for i := from.Add(10 * time.Minute); !i.After(until); i = i.Add(10 * time.Minute) {
			now := wall(i)
			if now <= furthest {
				continue
			}
			for _, c := range s.Cycles() {
				for _, date := range []string{furthest[:10], now[:10]} {
					if due := date + " " + c.At.String(); furthest < due && due <= now && (len(want) == 0 || !want[len(want)-1].Equal(i)) {
						want = append(want, i)
					}
				}
			}
			furthest = now
		}
		if !slices.EqualFunc(got, want, func(c Cutoff, i time.Time) bool { return c.Instant.Equal(i) }) {
			t.Errorf("%s: %d cut-offs, the wall shows %d", zone, len(got), len(want))
		}
	}
}

func TestASetAnswersByName(t *testing.T) {
	s := sandboxSet(t)
	if got := strings.Join(s.Calendars(), " "); got != "agent-sandbox cny-sandbox gbp-sandbox sar-sandbox thb-sandbox usd-sandbox" {
		t.Errorf("got %s", got)
	}
	if _, err := s.Calendar("none", time.Now()); !errors.Is(err, Unknown) {
		t.Errorf("got %v", err)
	}
	if _, ok := s.Schedule("none"); ok || len(s.Schedules()) != 5 {
		t.Error("schedules are not found by name")
	}
	c := schedule(t, s, "usd-cny")
	if c.Model() != Bilateral || c.Currency() != tongma.USD || c.Agent() != "sandbox-agent" || c.Zone() != "America/New_York" {
		t.Errorf("got %v %v %v %v", c.Model(), c.Currency(), c.Agent(), c.Zone())
	}
}

func BenchmarkNext(b *testing.B) {
	s := schedule(b, sandboxSet(b), "cny-net")
	after := at(b, "2026-03-02T01:00:00Z")
	for b.Loop() {
		if _, err := s.Next(after); err != nil {
			b.Fatal(err)
		}
	}
}
