package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/tongma/tongma"
)

// TestRecomputedFromTheJournalAlone: the market pays, nets and settles; from the
// dump of its journal alone come the windows and positions that a switch started
// again on the same folder shows.
func TestRecomputedFromTheJournalAlone(t *testing.T) {
	dir := t.TempDir()
	run(t, "demo", "--once", "--chaos", "--payments", "300", "--data", dir, "--json",
		"--iso8583-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	run(t, "demo", "--once", "--payments", "100", "--seed", "7", "--data", dir, "--json",
		"--iso8583-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
	dump := run(t, "journal", "dump", "--data", dir, "--json")
	sheets, positions, err := Recompute(bytes.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	if settled := len(slices.DeleteFunc(slices.Clone(sheets), func(s *Sheet) bool { return s.State != "settled" || len(s.Figures) == 0 })); settled < 2 {
		t.Fatalf("%d of %d windows are settled", settled, len(sheets))
	}
	demo(t, dir)
	target, err := Open(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "positions", shownPositions(t, target), ownPositions(positions))
	same(t, "windows", shownWindows(t, target), ownWindows(sheets))
	t.Logf("%d lines, %d windows, %d accounts", bytes.Count(dump, []byte("\n")), len(sheets), len(positions))
}

// same compares two renderings, row by row.
func same(t *testing.T, what string, shown, own []string) {
	t.Helper()
	slices.Sort(shown)
	slices.Sort(own)
	if len(shown) != len(own) || len(own) == 0 {
		t.Errorf("%s: %d rows are shown, %d recomputed", what, len(shown), len(own))
	}
	for i := range min(len(shown), len(own)) {
		if shown[i] != own[i] {
			t.Errorf("%s: shown %s, recomputed %s", what, shown[i], own[i])
		}
	}
}

func get(t *testing.T, x *Target, path string, into any) {
	t.Helper()
	a, err := x.http(t.Context(), call{who: operator, method: http.MethodGet, path: path})
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d", a.status)
	}
	if err = errors.Join(err, json.Unmarshal(a.body, into)); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}

func shownPositions(t *testing.T, x *Target) (rows []string) {
	var list struct {
		Positions []struct {
			Participant, Currency, Position, Reserved, Cap, Prefunded, Sponsor string
			MemoPosition                                                       string `json:"memo_position"`
			MemoReserved                                                       string `json:"memo_reserved"`
		}
	}
	get(t, x, "/v1/positions", &list)
	for _, p := range list.Positions {
		rows = append(rows, fmt.Sprintf("%s %s position %s held %s cap %s prefunded %s through %s %s held %s", p.Participant, p.Currency, p.Position, p.Reserved, p.Cap,
			p.Prefunded, p.Sponsor, p.MemoPosition, p.MemoReserved))
	}
	return rows
}

func decimal(minor int64, c tongma.Currency) string {
	return tongma.Money{Minor: minor, Currency: c}.Decimal()
}

func ownPositions(positions Positions) (rows []string) {
	for a, s := range positions {
		limit := ""
		if s.Capped {
			limit = decimal(s.Cap, a.Currency)
		}
		prefunded, memo, held := "", "", ""
		if s.Prefunding != 0 {
			prefunded = decimal(s.Prefunding, a.Currency)
		}
		if s.Sponsor != "" {
			memo, held = decimal(s.MemoPosition, a.Currency), decimal(s.MemoReserved, a.Currency)
		}
		rows = append(rows, fmt.Sprintf("%s %s position %s held %s cap %s prefunded %s through %s %s held %s", a.Participant, a.Currency, decimal(s.Position, a.Currency),
			decimal(s.Reserved, a.Currency), limit, prefunded, s.Sponsor, memo, held))
	}
	return rows
}

func shownWindows(t *testing.T, x *Target) (rows []string) {
	var list struct {
		Windows []struct {
			Window, State string
			Model, Method string
			ValueDate     string `json:"value_date"`
			Legs          []struct{ Debtor, Creditor, Currency, Due string }
			FirstEntry    uint64 `json:"first_entry"`
			EndEntry      uint64 `json:"end_entry"`
			Payments      int64
			Nets          []struct{ Participant, Currency, Debits, Credits, Net string }
			Matrix        []struct {
				Debtor, Creditor, Currency, Gross string
				Payments                          int64
			}
			SheetHash string `json:"sheet_hash"`
		}
	}
	get(t, x, "/v1/windows?limit=200", &list)
	for _, w := range list.Windows {
		rows = append(rows, fmt.Sprintf("%s %s %q %s value %s [%d, %d) %d payments, sheet %s", w.Window, w.State, w.Model, w.Method, strings.ReplaceAll(w.ValueDate, "-", ""),
			w.FirstEntry, w.EndEntry, w.Payments, w.SheetHash))
		for _, l := range w.Legs {
			if w.EndEntry != 0 && w.State != "closed" && strings.Trim(l.Due, "0.") != "" {
				rows = append(rows, fmt.Sprintf("%s %s owes %s %s %s", w.Window, l.Debtor, l.Creditor, l.Due, l.Currency))
			}
		}
		for _, n := range w.Nets {
			rows = append(rows, fmt.Sprintf("%s %s %s debits %s credits %s net %s", w.Window, n.Participant, n.Currency, n.Debits, n.Credits, n.Net))
		}
		for _, o := range w.Matrix {
			rows = append(rows, fmt.Sprintf("%s %s to %s %s %s in %d", w.Window, o.Debtor, o.Creditor, o.Gross, o.Currency, o.Payments))
		}
	}
	return rows
}

func ownWindows(sheets Sheets) (rows []string) {
	for _, w := range sheets {
		value := ""
		if w.ValueDate != 0 {
			value = fmt.Sprint(w.ValueDate)
		}
		rows = append(rows, fmt.Sprintf("%s %s %q %s value %s [%d, %d) %d payments, sheet %s", w.Window, w.State, w.Model, w.Method, value, w.FirstEntry, w.EndEntry, w.Payments, w.Hash))
		for pair, due := range w.Due {
			if due < 0 {
				pair.Debtor, pair.Creditor, due = pair.Creditor, pair.Debtor, -due
			}
			rows = append(rows, fmt.Sprintf("%s %s owes %s %s %s", w.Window, pair.Debtor, pair.Creditor, decimal(due, pair.Currency), pair.Currency))
		}
		for a, f := range w.Figures {
			rows = append(rows, fmt.Sprintf("%s %s %s debits %s credits %s net %s", w.Window, a.Participant, a.Currency,
				decimal(f.Debits, a.Currency), decimal(f.Credits, a.Currency), decimal(f.Net, a.Currency)))
		}
		for p, c := range w.Matrix {
			rows = append(rows, fmt.Sprintf("%s %s to %s %s %s in %d", w.Window, p.Debtor, p.Creditor, decimal(c.Gross, p.Currency), p.Currency, c.Count))
		}
	}
	return rows
}
