package settle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// timetable is a directory with three models: "home" with two cycles a day, "abroad"
// bilateral with one, and the default one without a schedule. The synctest clock
// starts on Saturday, 2000-01-01, 00:00 UTC.
const timetable = `
name: timetable
rules: default
participants:
  - {id: bank-a, name: A, country: CN, roles: [acquirer, issuer], acquirer_ids: ["1"], accepts: all, key: creds, caps: {CNY: "100.00", USD: "100.00"}}
schemes:
  - {id: here, name: Here, participant: bank-a, countries: [CN], currencies: [CNY]}
  - {id: there, name: There, participant: bank-a, countries: [CN], currencies: [USD]}
calendar:
  calendars:
    - {id: cny, version: 1, zone: Asia/Shanghai, valid: {from: 2000-01-01, to: %s}, weekend: [saturday, sunday], holidays: [{date: 2000-01-04, name: Made-up}]}
    - {id: usd, version: 1, zone: America/New_York, valid: {from: 2000-01-01, to: 2000-12-31}, weekend: [saturday, sunday]}
    - {id: bank, version: 1, zone: Asia/Shanghai, valid: {from: 2000-01-01, to: 2000-12-31}, weekend: []}
  currencies: {CNY: cny, USD: usd}
  agents: {bank: bank}
  schedules:
    - {id: cny, model: multilateral, currency: CNY, agent: bank, zone: Asia/Shanghai, cycles: [{id: noon, at: "12:00"}, {id: night, at: "22:00", value_days: 1}]}
    - {id: usd, model: bilateral, currency: USD, agent: bank, zone: America/New_York, cycles: [{id: day, at: "17:00"}]}
agents:
  - {id: bank, name: Bank, number: BANK, currencies: [CNY, USD], switch: {name: Switch, number: SWITCH, accounts: {CNY: {account: S-CNY}, USD: {account: S-USD}}}}
settlement:
  models:
    - {id: home, method: multilateral, schedule: cny, currencies: [CNY], schemes: [here]}
    - {id: abroad, method: bilateral, schedule: usd, currencies: [USD], schemes: [there]}
`

func timetableUntil(t *testing.T, until string) *schemes.Directory {
	t.Helper()
	text := fmt.Sprintf(timetable, until)
	text = strings.Replace(text, "caps: {CNY: \"100.00\", USD: \"100.00\"}", "caps: {CNY: \"100.00\", USD: \"100.00\"}, accounts: [{agent: bank, currency: CNY, account: A-CNY, number: A}, {agent: bank, currency: USD, account: A-USD, number: A}]", 1)
	d, err := schemes.Parse(1, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// wall is a Ledger in memory whose entries bear the time of the bubble.
func wall() *books {
	b := newBooks()
	b.clock = func() int64 { return time.Now().UnixMilli() }
	return b
}

// diary is what a Clock closed, in order.
type diary struct {
	mu     sync.Mutex // guards both
	lines  []string
	faults []string
}

func (d *diary) clock(b *books, dir func() *schemes.Directory, every time.Duration) *Clock {
	return NewClock(ClockOptions{Ledger: b, Directory: dir, Every: every,
		Closed: func(_ context.Context, c Closing) {
			s := c.Sheet
			d.mu.Lock()
			defer d.mu.Unlock()
			d.lines = append(d.lines, fmt.Sprintf("%s %s %s %s value %d missed %d", time.UnixMilli(s.Cutoff).UTC().Format("01-02T15:04"), s.Model, s.Method, c.Cutoff.Cycle, s.ValueDate, len(c.Missed)))
		},
		Fault: func(model string, err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.faults = append(d.faults, model+": "+tongma.ReasonOf(err).String())
		}})
}

func (d *diary) of(model string) (out []string) {
	for _, l := range d.lines {
		if strings.Contains(l, " "+model+" ") {
			out = append(out, l)
		}
	}
	return out
}

func runFor(t *testing.T, c *Clock, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := c.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestWindowsCloseWhenTheirScheduleSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b, d := timetableUntil(t, "2000-12-31"), wall(), &diary{}
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen})
		runFor(t, d.clock(b, func() *schemes.Directory { return dir }, 0), 6*24*time.Hour)
		want := []string{ // Saturday and Sunday nothing; Tuesday is a holiday
			"01-03T04:00 home multilateral noon value 20000103 missed 0", "01-03T14:00 home multilateral night value 20000105 missed 0",
			"01-05T04:00 home multilateral noon value 20000105 missed 0", "01-05T14:00 home multilateral night value 20000106 missed 0",
			"01-06T04:00 home multilateral noon value 20000106 missed 0", "01-06T14:00 home multilateral night value 20000107 missed 0"}
		if got := d.of("home"); !slices.Equal(got, want) {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
		if got := d.of("abroad"); len(got) != 4 || got[0] != "01-03T22:00 abroad bilateral day value 20000103 missed 0" {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
		if len(d.lines) != 10 || len(d.faults) != 0 {
			t.Error(d.lines, d.faults) // the default model is closed by hand, and stays open
		}
	})
}

func TestWhatWasMissedIsOneCloseWithTheLatestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b, d := timetableUntil(t, "2000-12-31"), wall(), &diary{}
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen})
		directory := func() *schemes.Directory { return dir }
		runFor(t, d.clock(b, directory, 0), 52*time.Hour+30*time.Minute) // until Monday, 12:30 in Shanghai
		time.Sleep(3 * 24 * time.Hour)                                   // down until Thursday, 12:30
		runFor(t, d.clock(b, directory, 0), time.Minute)
		want := []string{"01-03T04:00 home multilateral noon value 20000103 missed 0", "01-06T04:00 home multilateral noon value 20000106 missed 3"}
		if got := d.of("home"); !slices.Equal(got, want) {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
		runFor(t, d.clock(b, directory, 0), time.Minute) // started once more, nothing is due
		if got := d.of("home"); len(got) != 2 {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestADayThatNoCalendarKnowsLeavesTheWindowOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short, long := timetableUntil(t, "2000-01-04"), timetableUntil(t, "2000-12-31")
		b, d := wall(), &diary{}
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen})
		dir := func() *schemes.Directory {
			if time.Now().Before(time.Date(2000, 1, 7, 0, 0, 0, 0, time.UTC)) {
				return short
			}
			return long // announced late
		}
		runFor(t, d.clock(b, dir, 0), 6*24*time.Hour+time.Hour)
		want := []string{"01-03T04:00 home multilateral noon value 20000103 missed 0", "01-06T14:00 home multilateral night value 20000107 missed 4"} // the night of the 3rd would settle on a day that is not known
		if got := d.of("home"); !slices.Equal(got, want) || !slices.Equal(d.faults, []string{"home: calendar-unknown"}) {
			t.Errorf("got\n%s\n%v", strings.Join(got, "\n"), d.faults)
		}
		if _, err := Close(t.Context(), b, short, "home", 0, time.Now()); tongma.ReasonOf(err) != tongma.CalendarUnknown {
			t.Error(err)
		}
	})
}

func TestWindowsCloseEverySoOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b, d := timetableUntil(t, "2000-12-31"), wall(), &diary{}
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen})
		directory := func() *schemes.Directory { return dir }
		runFor(t, d.clock(b, directory, 10*time.Minute), 35*time.Minute)
		time.Sleep(time.Hour)
		runFor(t, d.clock(b, directory, 10*time.Minute), time.Minute)
		var at []string
		for _, l := range d.lines { // of the default model: a name of no letters
			if strings.Contains(l, "  multilateral") {
				at = append(at, l[:11])
			}
		}
		if !slices.Equal(at, []string{"01-01T00:10", "01-01T00:20", "01-01T00:30", "01-01T01:30"}) {
			t.Errorf("%v\n%s", at, strings.Join(d.lines, "\n"))
		}
	})
}

func TestWhoIsQuickerClosesTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b, d := timetableUntil(t, "2000-12-31"), wall(), &diary{}
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen})
		directory := func() *schemes.Directory { return dir }
		for range 3 {
			c := d.clock(b, directory, 0)
			go func() { runFor(t, c, 3*24*time.Hour) }()
		}
		time.Sleep(3*24*time.Hour + time.Minute)
		synctest.Wait()
		if got := d.of("home"); len(got) != 2 {
			t.Errorf("got\n%s", strings.Join(got, "\n"))
		}
	})
}

func TestAWindowIsClosedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b := timetableUntil(t, "2000-12-31"), wall()
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen})
		b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen, Model: "home"})
		s, err := Close(t.Context(), b, dir, "home", 0, time.Now())
		if err != nil || s.Window != 2 || s.Cutoff != 0 || s.ValueDate != 20000103 || s.Calendar == "" {
			t.Errorf("%+v %v", s, err)
		}
		if _, err := Close(t.Context(), b, dir, "", 2, time.Now()); tongma.ReasonOf(err) != tongma.WindowNotOpen {
			t.Error(err)
		}
		if _, err := Close(t.Context(), b, dir, "none", 0, time.Now()); tongma.ReasonOf(err) != tongma.ModelUnknown {
			t.Error(err)
		}
		if s, err := Close(t.Context(), b, dir, "", 1, time.Now()); err != nil || s.ValueDate != 0 {
			t.Errorf("%+v %v", s, err)
		}
	})
}

// refusing is books that refuse to close the windows of one model.
type refusing struct {
	*books
	model string
}

func (r refusing) Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error) {
	if e.Kind == clearing.KindClose && e.Model == r.model {
		return clearing.Result{Verdict: clearing.Verdict{Reason: tongma.StateConflict}}, nil
	}
	return r.books.Submit(ctx, e)
}

// TestAModelThatIsRefusedHoldsUpNoOther, and people are told.
func TestAModelThatIsRefusedHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, b, d := timetableUntil(t, "2000-12-31"), wall(), &diary{}
		r := refusing{books: b, model: dir.Models()[0].ID} // the first that is looked at
		if _, err := b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen}); err != nil {
			t.Fatal(err)
		}
		c := d.clock(b, func() *schemes.Directory { return dir }, time.Hour)
		c.opts.Ledger = r
		runFor(t, c, 48*time.Hour)
		if len(d.lines) == 0 || len(d.faults) != 1 || !strings.HasPrefix(d.faults[0], r.model+": ") {
			t.Errorf("closed %q, faults %q", d.lines, d.faults)
		}
	})
}
