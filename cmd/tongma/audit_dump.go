package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/conformance"
)

// dumpReport is what the lines of a dump come to. Amounts are minor units.
type dumpReport struct {
	OK        bool           `json:"ok"`
	Windows   []dumpWindow   `json:"windows"`
	Positions []dumpPosition `json:"positions"`
}

type dumpWindow struct {
	Window   tongma.WindowID `json:"window"`
	Model    string          `json:"model,omitempty"`
	Method   string          `json:"method"`
	State    string          `json:"state"`
	Opened   uint64          `json:"opened_entry"`
	Closed   uint64          `json:"closed_entry,omitempty"`
	Payments int64           `json:"payments"`
	Sheet    string          `json:"sheet_hash,omitempty"` // of one that is closed
	Nets     []dumpNet       `json:"nets"`                 // by currency and participant
}

type dumpNet struct {
	Participant tongma.ParticipantID `json:"participant"`
	Currency    string               `json:"currency"`
	Net         int64                `json:"net_minor"` // above zero pays
}

type dumpPosition struct {
	Participant tongma.ParticipantID `json:"participant"`
	Currency    tongma.Currency      `json:"-"`
	Code        string               `json:"currency"`
	Position    int64                `json:"position_minor"` // above zero owes
	Reserved    int64                `json:"reserved_minor"`
	Cap         int64                `json:"cap_minor"`
	Prefunded   int64                `json:"prefunded_minor,omitempty"`
}

// auditDump recomputes the books from the lines of a dump, by code that has nothing in
// common with the books, or with the audit of a journal. name is a file, "-" is stdin.
func (a *app) auditDump(name string) error {
	in := a.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return fileError(err)
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewReader(in)
	if _, err := lines.Peek(1); err != nil {
		return failf(exitUsage, "%s: there is nothing in it", name).then("tongma journal dump --data DIR --json > journal.jsonl")
	}
	sheets, positions, err := conformance.Recompute(lines)
	if err != nil {
		return &exitError{code: exitBooks, err: fmt.Errorf("%s: %w", name, err), next: []string{
			"if the file was cut off, or is not the whole journal from entry 1 on: tongma journal dump --data DIR --json > journal.jsonl",
			"if it is whole, the books do not follow from it: keep the file, and have the folder audited by somebody else"}}
	}
	r := dumpReport{OK: true, Windows: dumpWindows(sheets), Positions: dumpPositions(positions)}
	a.print(r, func(w io.Writer) { a.drawDump(w, &r) })
	return nil
}

func dumpWindows(sheets conformance.Sheets) []dumpWindow {
	out := make([]dumpWindow, 0, len(sheets))
	for _, s := range sheets {
		d := dumpWindow{Window: s.Window, Model: s.Model, Method: s.Method, State: s.State, Opened: s.FirstEntry, Closed: s.EndEntry, Payments: s.Payments, Nets: []dumpNet{}}
		if s.EndEntry != 0 {
			d.Sheet = s.Hash
		}
		for account, figure := range s.Figures {
			d.Nets = append(d.Nets, dumpNet{account.Participant, account.Currency.Code(), figure.Net})
		}
		slices.SortFunc(d.Nets, func(x, y dumpNet) int {
			return cmp.Or(cmp.Compare(x.Currency, y.Currency), cmp.Compare(x.Participant, y.Participant))
		})
		out = append(out, d)
	}
	return out
}

func dumpPositions(positions conformance.Positions) []dumpPosition {
	out := make([]dumpPosition, 0, len(positions))
	for account, s := range positions {
		out = append(out, dumpPosition{account.Participant, account.Currency, account.Currency.Code(), s.Position, s.Reserved, s.Cap, s.Prefunding})
	}
	slices.SortFunc(out, func(x, y dumpPosition) int {
		return cmp.Or(cmp.Compare(x.Participant, y.Participant), cmp.Compare(x.Code, y.Code))
	})
	return out
}

func (a *app) drawDump(w io.Writer, r *dumpReport) {
	fmt.Fprintf(w, "%s: every line follows from those before it\n\n", a.paint(w).green("✓ the books balance"))
	var rows [][]string
	for i := range r.Windows {
		x := &r.Windows[i]
		rows = append(rows, []string{x.Window.String(), x.State, x.Model, fmt.Sprint(x.Payments), fmt.Sprint(x.Opened), entryOrNone(x.Closed), x.Sheet})
	}
	showTable(w, []column{left("window"), left("state"), left("model"), right("payments"), right("from entry"), right("to"), left("sheet")}, rows)
	rows = nil
	for _, x := range r.Positions {
		if x.Position == 0 && x.Reserved == 0 {
			continue
		}
		decimal := func(minor int64) string { return tongma.Money{Minor: minor, Currency: x.Currency}.Decimal() }
		rows = append(rows, []string{string(x.Participant), x.Code, decimal(x.Position), decimal(x.Reserved), decimal(x.Cap)})
	}
	fmt.Fprintln(w)
	showTable(w, []column{left("participant"), left("currency"), right("position"), right("held"), right("cap")}, rows)
}
