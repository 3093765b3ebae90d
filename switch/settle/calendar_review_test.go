package settle

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// changed is the timetable with lines of it replaced: from, to, from, to.
func changed(t *testing.T, version uint64, lines ...string) *schemes.Directory {
	t.Helper()
	text := strings.Replace(timetable, "%s", "2000-12-31", 1)
	lines = append(lines, `caps: {CNY: "100.00", USD: "100.00"}`, `caps: {CNY: "100.00", USD: "100.00"}, accounts: [{agent: bank, currency: CNY, account: A-CNY, number: A}, {agent: bank, currency: USD, account: A-USD, number: A}]`)
	for i := 0; i < len(lines); i += 2 {
		if strings.Count(text, lines[i]) != 1 {
			t.Fatalf("%q is not there once", lines[i])
		}
		text = strings.Replace(text, lines[i], lines[i+1], 1)
	}
	d, err := schemes.Parse(version, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// opened is a Ledger whose first window was opened at an instant, up to which the time of
// the bubble goes by.
func opened(t *testing.T, at time.Time) *books {
	t.Helper()
	time.Sleep(time.Until(at))
	b := wall()
	if _, err := b.Submit(t.Context(), clearing.Entry{Kind: clearing.KindOpen}); err != nil {
		t.Fatal(err)
	}
	return b
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const cnyCalendar = "    - {id: cny, version: 1, zone: Asia/Shanghai, valid: {from: 2000-01-01, to: 2000-12-31}, weekend: [saturday, sunday], holidays: [{date: 2000-01-04, name: Made-up}]}\n"

// TestAHolidayThatIsAnnouncedWhileAWindowIsOpenIsKept: the window stays open over it, and
// is closed at the next cut-off that there is. What was closed before keeps the value date
// that was said then, though it is a holiday now: that was recorded, and is people's to
// settle.
func TestAHolidayThatIsAnnouncedWhileAWindowIsOpenIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := changed(t, 1)
		after := changed(t, 2, cnyCalendar, cnyCalendar+strings.NewReplacer("version: 1", "version: 2, effective_from: 2000-01-05T23:00:00+08:00", "[{", "[{date: 2000-01-06, name: Mourning}, {").Replace(cnyCalendar))
		announced := time.Date(2000, 1, 5, 14, 30, 0, 0, time.UTC) // half an hour behind the night's cut-off
		b, d := opened(t, time.Date(2000, 1, 5, 0, 0, 0, 0, time.UTC)), &diary{}
		runFor(t, d.clock(b, func() *schemes.Directory {
			if time.Now().Before(announced) {
				return before
			}
			return after
		}, 0), 4*24*time.Hour)
		same(t, d.of("home"), "01-05T04:00 home multilateral noon value 20000105 missed 0",
			"01-05T14:00 home multilateral night value 20000106 missed 0", // said before it was known
			"01-07T04:00 home multilateral noon value 20000107 missed 0", "01-07T14:00 home multilateral night value 20000110 missed 0")
		if len(d.faults) != 0 {
			t.Error(d.faults)
		}
		var calendars []string
		for _, s := range b.book.Sheets(0) {
			if s.Model == "home" && s.Cutoff != 0 {
				calendars = append(calendars, s.Calendar)
			}
		}
		if slices.Sort(calendars); len(calendars) != 4 || calendars[0] == calendars[3] {
			t.Errorf("by which calendars is not recorded: %q", calendars)
		}
	})
}

// TestAHalfDayClosesEarly: the night's cycle moves to the closing; one that comes to the
// same instant is not a window of its own.
func TestAHalfDayClosesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		half := strings.Replace(cnyCalendar, "}]}\n", `}], half_days: [{date: 2000-01-05, closes: "15:00", name: Half}, {date: 2000-01-06, closes: "11:00", name: Less}]}`+"\n", 1)
		dir := changed(t, 1, cnyCalendar, half)
		b, d := opened(t, time.Date(2000, 1, 5, 0, 0, 0, 0, time.UTC)), &diary{}
		runFor(t, d.clock(b, func() *schemes.Directory { return dir }, 0), 3*24*time.Hour)
		same(t, d.of("home"), "01-05T04:00 home multilateral noon value 20000105 missed 0", "01-05T07:00 home multilateral night value 20000106 missed 0",
			"01-06T03:00 home multilateral night value 20000107 missed 0",
			"01-07T04:00 home multilateral noon value 20000107 missed 0", "01-07T14:00 home multilateral night value 20000110 missed 0")
	})
}

// TestCutOffsOnTheDayThatTheClocksChangeComeOnce: one that falls into the hour that is
// left out is at the jump; of the hour that comes twice the first counts, also for a
// switch that is started within the second.
func TestCutOffsOnTheDayThatTheClocksChangeComeOnce(t *testing.T) {
	const cycle, usd = `cycles: [{id: day, at: "17:00"}]`, "valid: {from: 2000-01-01, to: 2000-12-31}, weekend: [saturday, sunday]}\n    - {id: bank"
	read := func(t *testing.T) func() *schemes.Directory {
		dir := changed(t, 1, cycle, `cycles: [{id: early, at: "01:30"}, {id: late, at: "02:30"}]`, usd, strings.Replace(usd, "saturday, sunday", "", 1))
		return func() *schemes.Directory { return dir }
	}
	synctest.Test(t, func(t *testing.T) {
		b, d := opened(t, time.Date(2000, 4, 1, 8, 0, 0, 0, time.UTC)), &diary{}
		runFor(t, d.clock(b, read(t), 0), 48*time.Hour)
		same(t, d.of("abroad"), "04-02T06:30 abroad bilateral early value 20000402 missed 0", "04-02T07:00 abroad bilateral late value 20000402 missed 0",
			"04-03T05:30 abroad bilateral early value 20000403 missed 0", "04-03T06:30 abroad bilateral late value 20000403 missed 0")
	})
	synctest.Test(t, func(t *testing.T) {
		b, d := opened(t, time.Date(2000, 10, 29, 4, 0, 0, 0, time.UTC)), &diary{}
		runFor(t, d.clock(b, read(t), 0), 100*time.Minute) // 01:40, the first time
		time.Sleep(45 * time.Minute)
		runFor(t, d.clock(b, read(t), 0), 25*time.Hour) // 01:25, the second time
		same(t, d.of("abroad"), "10-29T05:30 abroad bilateral early value 20001029 missed 0", "10-29T07:30 abroad bilateral late value 20001029 missed 0",
			"10-30T06:30 abroad bilateral early value 20001030 missed 0")
	})
}

// TestAWindowOfAModelThatWasDroppedIsClosedAndSettled: what was paid in it is owed all the
// same. Its agent went with it, so two people say what moved, or the model is put back.
func TestAWindowOfAModelThatWasDroppedIsClosedAndSettled(t *testing.T) {
	for _, back := range []bool{false, true} {
		m := &market{banks: banks("ac"), balance: rich("a"), method: "gross"}
		r := newRig(t, m)
		with := r.dir
		without, err := (&market{banks: m.banks}).directory()
		if err != nil {
			t.Fatal(err)
		}
		r.pay("a>c", 500)
		r.dir, r.away = without, true // whose agent it was, no directory says any more
		s, err := Close(t.Context(), r.books, without, "pairs", 0, time.UnixMilli(*r.books.now))
		if err != nil || s.Model != "pairs" || len(s.Legs) != 1 {
			t.Fatalf("%+v %v", s, err)
		}
		rep := r.settle(s.Window, How{})
		if len(rep.Open) != 1 || !strings.Contains(rep.Open[0].Text, "dropped the model") {
			t.Fatalf("%v", rep.Open)
		}
		if back {
			r.dir, r.away = with, false
			rep = r.settle(s.Window, How{})
		} else {
			for _, by := range []string{"ann", "ben"} {
				done, err := r.settler().Confirm(t.Context(), ByHand{Window: s.Window, Instruction: rep.Open[0].Ref, Evidence: "statement 4", By: by})
				if rep.Sheet = done.Sheet; err != nil {
					t.Fatal(err)
				}
			}
		}
		if !rep.Done() || (r.bank.balance["BANK-C"] == 500) != back {
			t.Errorf("%+v %v", rep, r.bank.balance)
		}
	}
}

// TestAParticipantThatLeftTheDirectoryStillSettles: with no account there is nobody to
// instruct, which is said by name and guessed by nobody; the others' transfers go on, and
// the window settles when it is put back.
func TestAParticipantThatLeftTheDirectoryStillSettles(t *testing.T) {
	w := newWire(t, &market{banks: banks("cab"), balance: rich("ab")})
	w.pay("a>c", 500)
	w.pay("b>c", 300)
	id := w.closeWindow()
	with := w.dir
	without, err := (&market{banks: banks("cb")}).directory()
	if err != nil {
		t.Fatal(err)
	}
	w.dir = without
	rep := w.settle(id, How{})
	if len(rep.Open) != 1 || rep.Open[0].From != "bank-a" || !strings.Contains(rep.Open[0].Text, "no account of bank-a") || rep.Done() {
		t.Fatalf("%v", rep.Open)
	}
	w.wantTold("instructed", "collected bank-b -> settlement 3.00 CNY")
	w.dir = with
	if rep = w.settle(id, How{}); !rep.Done() || w.money() != "800 999500 999700 0" {
		t.Errorf("%v %s", rep.Open, w.money())
	}
	if p := w.books.book.Positions(); slices.ContainsFunc(p, func(p clearing.Position) bool { return p.Position != 0 }) {
		t.Errorf("%+v", p)
	}
}
