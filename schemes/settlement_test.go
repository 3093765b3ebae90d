package schemes

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	tongma "github.com/tongma/tongma"
)

// market is the directory that uses every section.
func market(t testing.TB, pairs ...string) (string, *Directory, error) {
	t.Helper()
	raw, err := os.ReadFile("testdata/market.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for i := 0; i+1 < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) == 0 {
			t.Fatalf("the market does not hold %q", pairs[i])
		}
		text = strings.Replace(text, pairs[i], pairs[i+1], 1)
	}
	d, err := Parse(1, []byte(text))
	return text, d, err
}

func marketed(t testing.TB, pairs ...string) *Directory {
	t.Helper()
	_, d, err := market(t, pairs...)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fault is one thing wrong with the market: old is replaced by new, and the problem
// is told at the line where at stands, or else where new begins.
type fault struct {
	old, new string
	at       string
	reason   tongma.Reason
	want     string // "path: message; did you mean …?", or "" if nothing is
}

func eachFault(t *testing.T, faults []fault) {
	for _, f := range faults {
		t.Run(f.want, func(t *testing.T) {
			text, d, err := market(t, f.old, f.new)
			var e *ParseError
			if f.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.As(err, &e) || d != nil {
				t.Fatalf("error %v", err)
			}
			at := f.at
			if at == "" {
				at = f.new
			}
			if strings.Count(text, at) != 1 {
				t.Fatalf("%q stands %d times", at, strings.Count(text, at))
			}
			want := fmt.Sprintf("line %d: %s", lineOf(t, []byte(text), at), f.want)
			if p := e.Problems[0]; p.String() != want || p.Reason != f.reason || len(e.Problems) > 1 {
				t.Errorf("\n got %v (%v)\nwant %s (%v)\nof\n%v", p, p.Reason, want, f.reason, err)
			}
		})
	}
}

func TestAPaymentsModelFollowsFromSchemeAndCurrency(t *testing.T) {
	d := marketed(t)
	khr, _ := tongma.CurrencyByCode("KHR")
	for _, c := range []struct {
		scheme   tongma.SchemeID
		currency tongma.Currency
		want     string
	}{
		{"lotus", tongma.THB, "home"},
		{"lotus", khr, DefaultModel},
		{"orchid", tongma.HKD, "abroad"},
		{"orchid", tongma.THB, "abroad"},
		{"orchid", tongma.CNY, DefaultModel},
		{"nobody", tongma.THB, DefaultModel},
	} {
		if got := d.Model(c.scheme, c.currency); got != c.want {
			t.Errorf("%s in %s belongs to %q, want %q", c.scheme, c.currency, got, c.want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { d.Model("orchid", tongma.THB) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestModelsAreAllThatMayHaveWindows(t *testing.T) {
	var got []string
	for _, m := range marketed(t).Models() {
		line := fmt.Sprintf("%q %s %s", m.ID, m.Method, m.Agent)
		if m.Schedule != nil {
			line += " " + m.Schedule.ID()
		}
		got = append(got, line)
	}
	want := `"" multilateral river-bank
"abroad" bilateral river-bank abroad
"home" multilateral river-bank baht
"quarrels" multilateral river-bank quarrels`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	d := marketed(t)
	if m, ok := d.SettlementModel(DefaultModel); !ok || m.ID != "" || d.DisputeModel() != "quarrels" {
		t.Errorf("%+v, disputes in %q", m, d.DisputeModel())
	}
	if _, ok := d.SettlementModel("hoome"); ok {
		t.Error("a model of another name was found")
	}
	d.Models()[0] = nil
	if d.Models()[0] == nil {
		t.Error("the directory was changed through what it returned")
	}
}

// A directory that says nothing of settlement has the model that every book has,
// and one for disputes.
func TestModelsThatNeedNoDeclaration(t *testing.T) {
	d, err := Parse(1, []byte(`
participants: [{id: a, name: A, country: TH, roles: [issuer], caps: {THB: "1"}}]
schemes: [{id: a, name: A, participant: a, countries: all, currencies: [THB]}]`))
	if err != nil {
		t.Fatal(err)
	}
	all := d.Models()
	if len(all) != 2 || all[0].ID != DefaultModel || all[1].ID != DefaultDisputeModel || d.DisputeModel() != DefaultDisputeModel {
		t.Errorf("%+v", all)
	}
	for _, m := range all {
		if m.Method != Multilateral || m.Schedule != nil || m.Agent != "" {
			t.Errorf("%+v", m)
		}
	}
	if d.Model("a", tongma.THB) != DefaultModel || d.Calendars() != nil {
		t.Error("something was made up")
	}
}

func TestAModelsScheduleComesOfTheSameFile(t *testing.T) {
	m, _ := marketed(t).SettlementModel("abroad")
	cutoff, err := m.Schedule.Next(time.Date(2026, 4, 10, 12, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	// The Monday of the cut-off is good in Hong Kong; the value date waits for Bangkok.
	want := "2026-04-13 17:00:00 +08:00 Asia/Hong_Kong day, settles 2026-04-16"
	if cutoff.String() != want || cutoff.CalendarVersion != "bank-days.1+hkd-hk.1+thb-th.1" {
		t.Errorf("%v (%s), want %s", cutoff, cutoff.CalendarVersion, want)
	}
}

func TestFaultsOfSettlement(t *testing.T) {
	eachFault(t, []fault{
		{"  agent: river-bank\n  dispute_model", "  agnet: river-bank\n  dispute_model", "  agnet:", tongma.FieldUnknown, "/settlement/agnet: no such key; did you mean agent?"},
		{"dispute_model: quarrels", "dispute_model: Quarrels", "", tongma.FieldInvalid, "/settlement/dispute_model: must be lower-case letters, digits and hyphens, at most 32, from a letter"},
		{"method: bilateral", "method: bilatral", "", tongma.FieldInvalid, "/settlement/models/1/method: must be one of multilateral, bilateral, gross; did you mean bilateral?"},
		{"- id: abroad\n      method", "- id: home\n      method", "- id: home\n      method: bilateral", tongma.FieldInvalid, "/settlement/models/1/id: this id was given before"},
		{"      method: bilateral\n", "", "- id: abroad\n      agent: river-bank\n", tongma.FieldMissing, "/settlement/models/1/method: is missing"},
		{"schedule: baht", "schedule: bath", "", tongma.CalendarUnknown, "/settlement/models/0/schedule: there is no such schedule in section calendar; did you mean baht?"},
		{"schedule: baht", "schedule: abroad", "schedule: abroad\n      currencies: [THB]", tongma.FieldInvalid, "/settlement/models/0/schedule: is for bilateral settlement, and the model is multilateral"},
		{"schedule: baht", "schedule: baht\n      agent: lake-bank", "agent: lake-bank", tongma.FieldInvalid, "/settlement/models/0/agent: there is no such agent"},
		{"currencies: [THB]\n      schemes: [lotus]", "currencies: [KHR]\n      schemes: [lotus]", "schedule: baht", tongma.FieldInvalid, "/settlement/models/0/schedule: settles in THB, which is no currency of the model"},
		{"currencies: [THB]\n      schemes: [lotus]", "currencies: [THB, KHR]\n      schemes: [lotus]", "", tongma.CalendarUnknown, "/settlement/models/0/currencies/1: has no calendar, so no value date is known to be good in it"},
		{"      good_in: [thb-th]\n", "", "schedule: abroad", tongma.FieldInvalid, "/settlement/models/1/schedule: does not ask calendar thb-th of THB; add it to the schedule's good_in"},
		{"currencies: [THB]\n      schemes: [lotus]", "currencies: [THB, THB]\n      schemes: [lotus]", "", tongma.FieldInvalid, "/settlement/models/0/currencies/1: stands twice"},
		{"currencies: [THB]\n      schemes: [lotus]", "currencies: [THX]\n      schemes: [lotus]", "", tongma.CurrencyUnknown, "/settlement/models/0/currencies/0: is no currency of ISO 4217"},
		{"      currencies: [THB]\n", "", "- id: home", tongma.FieldMissing, "/settlement/models/0/currencies: is missing"},
		{"      schemes: [lotus]\n", "", "- id: home", tongma.FieldMissing, "/settlement/models/0/schemes: is missing"},
		{"[THB]\n      schemes: [lotus]", "[THB]\n      schemes: []", "      schemes: []", tongma.FieldInvalid, "/settlement/models/0/schemes: is empty; write the word all if every scheme is meant"},
		{"[THB]\n      schemes: [lotus]", "[THB]\n      schemes: every", "      schemes: every", tongma.FieldInvalid, "/settlement/models/0/schemes: must be the word all, or a list of schemes"},
		{"[THB]\n      schemes: [lotus]", "[THB]\n      schemes: [lotos]", "      schemes: [lotos]", tongma.FieldInvalid, "/settlement/models/0/schemes/0: there is no such scheme; did you mean lotus?"},
		{"[THB]\n      schemes: [lotus]", "[THB]\n      schemes: [lotus, lotus]", "      schemes: [lotus, lotus]", tongma.FieldInvalid, "/settlement/models/0/schemes/1: stands twice"},
		{"[THB]\n      schemes: [lotus]", "[THB]\n      schemes: all", "- id: abroad\n      method", tongma.FieldInvalid, "/settlement/models/1: orchid in THB belongs to model home already"},
		{"schedule: quarrels", "schemes: all", "- id: quarrels\n      method", tongma.FieldInvalid, "/settlement/models/2: is the dispute model, to which no payment belongs: it has neither schemes nor currencies"},
		{"version: 1", "version: one", "", tongma.FieldInvalid, "/calendar/calendars/0/version: must be a number from 1 to 999999999"},
		{"zone: Asia/Bangkok\n      cycles", "zone: Asia/Bangkog\n      cycles", "Asia/Bangkog", tongma.FieldInvalid, "/calendar/schedules/0/zone: is no zone of the IANA time zone database; did you mean Asia/Bangkok?"},
		{"calendar:\n  calendars", "calender:\n  calendars", "", tongma.FieldUnknown, "/calender: no such key; did you mean calendar?"},
	})
}

func TestAModelNeedsASchemeThatClearsInItsCurrency(t *testing.T) {
	for _, c := range []struct{ currencies, schemes, want string }{
		{"[KHR]", "[lotus, orchid]", "/settlement/models/0/schemes/1: clears in none of the model's currencies"},
		{"[KHR, VND]", "[lotus]", "/settlement/models/0/currencies/1: is a currency of none of the model's schemes"},
	} {
		_, _, err := market(t, "      schedule: baht\n      currencies: [THB]\n      schemes: [lotus]", "      currencies: "+c.currencies+"\n      schemes: "+c.schemes)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	_, _, err := market(t, "calendar:\n", "rank:\n")
	if err == nil {
		t.Error("a section of another name was taken")
	}
}

// The sandbox has something of everything that clearing needs, and nothing in the
// way of what its payments in yuan do.
func TestSandboxSettles(t *testing.T) {
	d := sandboxed(t)
	khr, _ := tongma.CurrencyByCode("KHR")
	for _, s := range d.Schemes() {
		for _, c := range s.Currencies {
			want := map[tongma.Currency]string{tongma.THB: "thb-net", tongma.HKD: "hkd-pairs"}[c]
			if got := d.Model(s.ID, c); got != want {
				t.Errorf("%s in %s belongs to %q, want %q", s.ID, c, got, want)
			}
			if fees := d.Fees(s.ID, tongma.OpPay, c, 1<<50); (len(fees) > 0) != (s.ID == "khqr" && c == khr) {
				t.Errorf("%s in %s: %d fees", s.ID, c, len(fees))
			}
		}
	}
	for _, p := range d.Participants() {
		for c := range p.Caps {
			for _, m := range d.Models() {
				agent, ok := d.AgentFor(m.ID, c)
				if !ok {
					t.Fatalf("nobody settles model %q in %s", m.ID, c)
				}
				if _, ok := p.Account(agent.ID, c); !ok {
					t.Errorf("%s has no account in %s", p.ID, c)
				}
			}
		}
	}
	m, _ := d.SettlementModel("thb-net")
	noon, err := m.Schedule.Next(time.Date(2026, 11, 20, 4, 0, 0, 0, time.UTC))
	if err != nil || noon.String() != "2026-11-20 12:00:00 +07:00 Asia/Bangkok noon, settles 2026-11-20" {
		t.Errorf("%v, %v", noon, err)
	}
	if r, ok := d.DefaultRules("thb-net", tongma.THB); !ok || len(r.LossSharing) != 4 || !r.Recast {
		t.Errorf("%+v", r)
	}
	if _, ok := d.Disputes(); !ok || len(d.Dealers(tongma.CNY, tongma.HKD)) != 1 {
		t.Error("no disputes, or no dealer")
	}
}
