package office

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/clearing/scripttest"
)

// TestScripts runs testdata/*.script, one story each. A line is what somebody
// does, an arrow, and what the office said: "done", "stood already", or the reason.
// "dry" in front asks without doing.
//
//	deposit, withdraw KEY WHO AMOUNT CUR
//	propose-cap KEY WHO AMOUNT CUR by NAME; approve-cap, reject-cap KEY by NAME
//	suspend, resume WHO by NAME because WORDS
//	pay NAME AMOUNT CUR                  lotus pays harbour, posted at once
//	position WHO CUR                     position, holds, and what may still be debited
//	dispute NAME of PAYMENT AMOUNT CUR   lotus disputes; "reason CODE" if not not-received
//	WHO accept|represent|pre-arbitrate|arbitrate|withdraw NAME
//	operator PERSON propose-uphold|propose-reject|approve|refuse NAME
//	clock                                ends what has passed its deadline
//	show NAME
//	refund NAME of PAYMENT AMOUNT CUR    harbour pays lotus back, posted at once
//	close [MODEL]; settle WINDOW
//	wait DURATION
func TestScripts(t *testing.T) {
	scripttest.Run(t, "testdata/*.script", 3, func(t *testing.T, text string) string {
		s := &story{market: newCourt(t), payments: map[string]tongma.PaymentID{}}
		return scripttest.Arrows(text, 52, func(words []string) string {
			if words[0] == "dry" {
				return s.do(words[1:], true)
			}
			return s.do(words, false)
		})
	})
}

type story struct {
	*market
	payments map[string]tongma.PaymentID // and disputes, by the script's names
}

// after returns the word behind another, and "" if it is not there.
func after(words []string, name string) string {
	if i := slices.Index(words, name); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

func (s *story) money(words []string) tongma.Money {
	s.t.Helper()
	c, ok := tongma.CurrencyByCode(words[1])
	if !ok {
		s.t.Fatalf("%q", words)
	}
	m, err := tongma.ParseMoney(words[0], c)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func said(done Done, err error) string {
	switch {
	case err != nil:
		return tongma.ReasonOf(err).String()
	case done.DryRun && !done.Exists:
		return "would be done"
	case done.Exists:
		return "stood already"
	}
	return "done"
}

// judged is said of a dispute: its stage and, where it is waited for, until when.
func judged(d DisputeDone, err error) string {
	out := said(d.Done, err)
	if err == nil {
		out += ", " + d.Dispute.Stage.String()
		if !d.Dispute.Deadline.IsZero() {
			out += " until " + d.Dispute.Deadline.Format("Mon 2 Jan 15:04")
		}
	}
	return out
}

func (s *story) refund(w []string) string {
	id, of := s.id(), s.payments[w[3]]
	s.payments[w[1]] = id
	res, err := s.ledger.Submit(s.t.Context(), clearing.Entry{Kind: clearing.KindHold, Payment: id, Original: of, Op: tongma.OpRefund, Asker: "harbour", Key: w[1], Debtor: "harbour", Creditor: "lotus",
		Scheme: "lotus", Amount: s.money(w[4:])})
	if err != nil || res.Reason != tongma.NoReason {
		return res.Reason.String()
	}
	s.write(clearing.Entry{Kind: clearing.KindPost, Payment: id})
	return "posted"
}

func (s *story) do(w []string, dry bool) string {
	ctx := s.t.Context()
	switch w[0] {
	case "deposit", "withdraw":
		f := Funds{Key: w[1], Participant: tongma.ParticipantID(w[2]), Amount: s.money(w[3:]), DryRun: dry}
		if w[0] == "deposit" {
			return said(s.Deposit(ctx, f))
		}
		return said(s.Withdraw(ctx, f))
	case "propose-cap":
		return said(s.ProposeCap(ctx, CapRequest{Key: w[1], Participant: tongma.ParticipantID(w[2]), Cap: s.money(w[3:]), By: after(w, "by"), DryRun: dry}))
	case "approve-cap":
		return said(s.ApproveCap(ctx, CapCheck{Key: w[1], By: after(w, "by"), DryRun: dry}))
	case "reject-cap":
		return said(s.RejectCap(ctx, CapCheck{Key: w[1], By: after(w, "by"), DryRun: dry}))
	case "suspend", "resume":
		at := Standing{Participant: tongma.ParticipantID(w[1]), By: after(w, "by"), Why: strings.Join(w[slices.Index(w, "because")+1:], " "), DryRun: dry}
		if w[0] == "suspend" {
			return said(s.Suspend(ctx, at))
		}
		return said(s.Resume(ctx, at))
	case "pay":
		id := s.id()
		s.payments[w[1]] = id
		res, err := s.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindHold, Payment: id, Op: tongma.OpPay, Asker: "harbour", Key: w[1], Debtor: "lotus", Creditor: "harbour",
			Scheme: "lotus", Amount: s.money(w[2:])})
		if err != nil || res.Reason != tongma.NoReason {
			return res.Reason.String()
		}
		s.write(clearing.Entry{Kind: clearing.KindPost, Payment: id, SchemeRef: w[1]})
		return "posted"
	case "position":
		p := s.position(tongma.ParticipantID(w[1]), s.money([]string{"0", w[2]}).Currency)
		dec := func(minor int64) string { return tongma.Money{Minor: minor, Currency: p.Currency}.Decimal() }
		out := "position " + dec(p.Position) + ", held " + dec(p.Reserved) + ", may debit " + dec(max(0, p.Cap+p.Prefunded-p.Position-p.Reserved))
		if p.Suspended {
			out += ", suspended"
		}
		return out
	case "dispute":
		reason := after(w, "reason")
		if reason == "" {
			reason = "not-received"
		}
		d, err := s.Raise(ctx, DisputeRequest{Key: w[1], By: "lotus", Payment: s.payments[w[3]], Amount: s.money(w[4:]), Reason: reason, DryRun: dry})
		if err == nil && !dry {
			s.payments[w[1]] = d.Dispute.ID
		}
		return judged(d, err)
	case "lotus", "harbour", "orchid":
		action, err := dispute.ParseAction(w[1])
		if err != nil {
			s.t.Fatal(err)
		}
		return judged(s.Step(ctx, DisputeStep{Dispute: s.payments[w[2]], By: tongma.ParticipantID(w[0]), Action: action, DryRun: dry}))
	case "operator":
		action, err := dispute.ParseAction(w[2])
		if err != nil {
			s.t.Fatal(err)
		}
		return judged(s.Step(ctx, DisputeStep{Dispute: s.payments[w[3]], Person: w[1], Action: action, DryRun: dry}))
	case "clock":
		n, err := s.ExpireDisputes(ctx)
		if err != nil {
			s.t.Fatal(err)
		}
		return strconv.Itoa(n) + " ended"
	case "show":
		v, err := s.ShowDispute(ctx, s.payments[w[1]], "")
		if err != nil {
			return tongma.ReasonOf(err).String()
		}
		return v.Stage.String() + ": " + v.Money
	case "refund":
		return s.refund(w)
	case "close":
		return s.close(w[1:]...).Window.String()
	case "settle":
		n, err := strconv.ParseUint(w[1], 10, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		var sheet clearing.Sheet
		if err := s.ledger.Read(ctx, func(b *clearing.Book) { sheet, _ = b.Sheet(tongma.WindowID(n)) }); err != nil {
			s.t.Fatal(err)
		}
		s.settle(sheet)
		return "settled"
	case "wait":
		d, err := time.ParseDuration(w[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
		return ""
	}
	s.t.Fatalf("no command %q", w[0])
	return ""
}
