package recon

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

var update = flag.Bool("update", false, "write the expected files of testdata/example")

// TestWorkedExample runs testdata/example, which is written to be read by people:
// README.md there tells the story. The journal is a dump of a real Book, the
// files are as participants send them, and what comes out must be the expected
// files, byte for byte.
func TestWorkedExample(t *testing.T) {
	journal, legs := exampleJournal(t)
	golden(t, "journal.jsonl", journal)
	j, err := ReadJournal(bytes.NewReader(exampleFile(t, "journal.jsonl")))
	if err != nil {
		t.Fatal(err)
	}
	g := NewRegister(2)
	var tallies []Tally
	for _, day := range []struct {
		window tongma.WindowID
		hours  time.Duration
	}{{1, 18}, {2, 42}} {
		in := Input{Window: day.window, AsOf: time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC).Add(day.hours * time.Hour), Head: j.Head(), Items: j.Items(),
			Cycles: []Cycle{{1, 20261122, j.Closed(1)}, {2, 20261123, j.Closed(2)}}}
		for _, sender := range []tongma.ParticipantID{"lotus", "harbour"} {
			f, err := ReadCSV(bytes.NewReader(exampleFile(t, fmt.Sprintf("%s-%d.csv", sender, day.window))), sender)
			if err != nil {
				t.Fatal(err)
			}
			in.Files = append(in.Files, f)
		}
		if day.window == 2 {
			in.Legs, in.Statements = legs, []Statement{exampleStatement(t)}
		}
		res := run1(t, in)
		tallies = append(tallies, res.Tallies...)
		if _, err := g.Merge(res); err != nil {
			t.Fatal(err)
		}
	}
	asOf := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	report, err := Summarise(g.Breaks(), asOf)
	if err != nil {
		t.Fatal(err)
	}
	var breaks, summary bytes.Buffer
	if err := WriteBreaks(&breaks, g.Breaks(), asOf); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteCSV(&summary); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.MarshalIndent(struct {
		Report  Report  `json:"report"`
		Tallies []Tally `json:"tallies"`
		Breaks  []Break `json:"breaks"`
	}{report, tallies, g.Breaks()}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "expected-breaks.csv", breaks.Bytes())
	golden(t, "expected-report.csv", summary.Bytes())
	golden(t, "expected.json", append(asJSON, '\n'))
}

func exampleFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "example", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "example", name), got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := exampleFile(t, name); !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// exampleJournal is the dump of a Book in which lotus is a wallet and harbour an
// acquirer: two windows, and the legs of the first.
func exampleJournal(t *testing.T) ([]byte, []Leg) {
	t.Helper()
	book, out := clearing.NewBook(), bytes.Buffer{}
	clock := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	write := func(e clearing.Entry) {
		t.Helper()
		clock = clock.Add(time.Minute)
		if v := book.Propose(&e, clock.UnixMilli()); !v.Write {
			t.Fatalf("%s refused: %v", e.Kind, v.Reason)
		}
		if err := book.Apply(&e); err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(clearing.NewLine(&e, e.Number, e.AppendTo(nil)))
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	hold := func(n int, minor int64) {
		write(clearing.Entry{Kind: clearing.KindHold, Payment: pid(n), Op: tongma.OpPay, Asker: "harbour", Key: fmt.Sprint("K", n),
			Debtor: "lotus", Creditor: "harbour", Scheme: "lotus-pay", Amount: cny(minor)})
	}
	post := func(n int) {
		write(clearing.Entry{Kind: clearing.KindPost, Payment: pid(n), SchemeRef: fmt.Sprintf("LP%04d", n)})
	}
	write(clearing.Entry{Kind: clearing.KindOpen})
	write(clearing.Entry{Kind: clearing.KindCap, Debtor: "lotus", Amount: cny(1_000_000)})
	hold(1, 1250)
	post(1)
	hold(2, 8000)
	post(2)
	hold(3, 4500)
	write(clearing.Entry{Kind: clearing.KindVoid, Payment: pid(3), Reason: tongma.InsufficientFunds})
	hold(4, 999)
	post(4)
	hold(5, 20000)
	post(5)
	write(clearing.Entry{Kind: clearing.KindReversing, Payment: pid(5), Reason: tongma.ReversedByAcquirer})
	write(clearing.Entry{Kind: clearing.KindReversed, Payment: pid(5)})
	hold(6, 3300)
	post(6)
	write(clearing.Entry{Kind: clearing.KindClose})
	hold(7, 150)
	post(7)
	sheet, _ := book.Sheet(1)
	write(clearing.Entry{Kind: clearing.KindInstruct, Window: 1})
	write(clearing.Entry{Kind: clearing.KindClose})
	var legs []Leg
	for _, in := range clearing.Instruct(sheet) {
		legs = append(legs, Leg{Instruction: in, Due: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)})
	}
	return out.Bytes(), legs
}

// exampleStatement reads statement.csv: ref, end_to_end_id, direction, amount,
// value date, between an opening and a closing balance.
func exampleStatement(t *testing.T) Statement {
	t.Helper()
	data := exampleFile(t, "statement.csv")
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := Statement{Account: "CNY settlement", Hash: hash(string(data))}
	for _, row := range rows[1:] {
		m, err := tongma.ParseMoney(row[3], tongma.CNY)
		if err != nil {
			t.Fatal(err)
		}
		value, err := time.Parse(time.DateOnly, row[4])
		if err != nil {
			t.Fatal(err)
		}
		switch row[2] {
		case "opening":
			s.Opening = m
		case "closing":
			s.Closing = m
		default:
			s.Entries = append(s.Entries, BankEntry{Ref: row[0], EndToEndID: row[1], Debit: row[2] == "debit", Amount: m, Booked: value, Value: value})
		}
	}
	return s
}
