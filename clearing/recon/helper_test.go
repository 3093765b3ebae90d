package recon

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// pid makes the payment id that the tests call n.
func pid(n int) (p tongma.PaymentID) {
	p[0], p[6], p[8] = 1, 0x70, 0x80
	binary.BigEndian.PutUint32(p[12:], uint32(n))
	return p
}

func cny(minor int64) tongma.Money { return tongma.Money{Minor: minor, Currency: tongma.CNY} }

// paid is a payment of lotus to harbour that was posted in window w.
func paid(n int, minor int64, w tongma.WindowID) Item {
	return Item{Payment: pid(n), Op: tongma.OpPay, Status: tongma.Paid, Debtor: "lotus", Creditor: "harbour", Amount: cny(minor),
		SchemeRef: fmt.Sprintf("S%04d", n), Posted: w, PostedAt: noon.UnixMilli()}
}

// file makes lotus's file of lines without the header. P1 stands for pid(1).
func file(t testing.TB, lines ...string) File {
	t.Helper()
	text := Header + "\n"
	for _, l := range lines {
		for n := 9; n > 0; n-- {
			l = strings.ReplaceAll(l, fmt.Sprintf("P%d,", n), pid(n).String()+",")
		}
		text += l + "\n"
	}
	f, err := ReadCSV(strings.NewReader(text), "lotus")
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func run1(t testing.TB, in Input) Result {
	t.Helper()
	if in.Window == 0 {
		in.Window = 12
	}
	if in.AsOf.IsZero() {
		in.AsOf = noon
	}
	res, err := Reconcile(in)
	if err != nil {
		t.Fatal(err)
	}
	balanced(t, res)
	return res
}

// balanced holds that every tally accounts for its total.
func balanced(t testing.TB, res Result) {
	t.Helper()
	for _, a := range res.Tallies {
		var s Sum
		for _, part := range []Sum{a.Matched, a.Differing, a.Alone, a.Duplicate, a.Unknown, a.NotDue} {
			s.Count, s.Minor = s.Count+part.Count, s.Minor+part.Minor
		}
		if s != a.Total {
			t.Errorf("%s %s %s: parts come to %v, total is %v", a.Side, a.Participant, a.Book, s, a.Total)
		}
	}
	ids := map[string]bool{}
	for _, b := range res.Breaks {
		if ids[b.ID] || b.ID != b.Identity() || b.AtRisk.Minor < 0 || !b.AtRisk.Currency.Valid() {
			t.Errorf("break %+v", b)
		}
		ids[b.ID] = true
	}
}

// say shows breaks as the tables below write them.
func say(breaks []Break) string {
	var out []string
	for _, b := range breaks {
		out = append(out, fmt.Sprintf("%s %s/%s %s: %s <> %s [%s]", b.Kind, b.Owner, b.Participant, b.Movement, b.Expected, b.Found, b.AtRisk))
	}
	return strings.Join(out, "\n")
}

func hash(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func leg(id string, who tongma.ParticipantID, debit bool, minor int64) Leg {
	return Leg{Instruction: clearing.Instruction{ID: id, Window: 12, Participant: who, Debit: debit, Amount: cny(minor)},
		Due: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
}

func credit(ref, id string, minor int64) BankEntry {
	return BankEntry{Ref: ref, EndToEndID: id, Amount: cny(minor), Value: time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)}
}

func debit(ref, id string, minor int64) BankEntry {
	e := credit(ref, id, minor)
	e.Debit = true
	return e
}

func statement(entries ...BankEntry) Statement {
	return Statement{Account: "settlement", Hash: hash(fmt.Sprint(entries)), Entries: entries}
}
