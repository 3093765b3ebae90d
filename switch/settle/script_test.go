package settle

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/scripttest"
	"github.com/tongma/tongma/schemes"
)

// TestScripts runs testdata/*.script: what happens to whose money when somebody
// cannot pay. Indented lines are what came out of the line above; the script is
// rendered anew and must come out as it stands, byte for byte.
//
//	market   NAME BALANCE [prefunding AMOUNT]    a bank, and what its accounts at the agent hold
//	fund     AMOUNT                              the guarantee fund, and the most that it pays
//	share    NAME WEIGHT up-to AMOUNT            the loss-sharing key
//	recast | pairs METHOD                        payments may roll over; legs run between two
//	open                                         the market is what was said above
//	pay      NAME A -> B AMOUNT                  a payment, posted at once
//	close                                        the open window
//	has      NAME AMOUNT                         what its account at the agent holds from now on
//	agent    NAME reject | pending | part AMOUNT what the agent does with the next transfer from it; NAME may be "fund" or "settlement"
//	agent    NAME moved | refused                what it decides on the transfer from it that was pending
//	stop     KIND | moved | sent                 the next settle stops behind an entry of that kind; or when the agent has
//	                                             moved something and not been heard; or just before it hears anything
//	resume   NAME                                whoever was short may pay again
//	rules    fund AMOUNT                         the market's rules from now on
//	agent    away | back                         nobody is connected; is again
//	by       PERSON confirm | refuse | dismiss WINDOW A -> B [AMOUNT] seen EVIDENCE    what people say of an instruction; of
//	                                             a cover, A is who was asked
//	plan, settle WINDOW [retry] [steps N]
//	legs, payments WINDOW; money; positions
func TestScripts(t *testing.T) {
	scripttest.Run(t, "testdata/*.script", 10, func(t *testing.T, text string) string {
		s := &script{t: t, market: &market{prefunding: map[tongma.ParticipantID]int64{}, balance: map[tongma.ParticipantID]int64{}}, names: map[tongma.PaymentID]string{}, spoken: map[string]string{}}
		return s.render(text)
	})
}

type script struct {
	*rig
	t      *testing.T
	market *market
	names  map[tongma.PaymentID]string
	stop   string
	spoken map[string]string // instruction that people spoke of last, by leg
}

func (s *script) render(text string) string {
	var out strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		body, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		if strings.HasPrefix(line, " ") {
			continue // came out of the line above
		}
		out.WriteString(line)
		if strings.TrimSpace(body) == "" {
			continue
		}
		for _, l := range s.do(strings.Fields(body)) {
			out.WriteString("    " + l + "\n")
		}
	}
	return out.String()
}

func (s *script) minor(text string) int64 {
	m, err := tongma.ParseMoney(text, tongma.CNY)
	if err != nil {
		s.t.Fatal(text, err)
	}
	return m.Minor
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *script) do(w []string) []string {
	bank := func(i int) tongma.ParticipantID {
		if w[i] == "fund" {
			return drillFund
		}
		return tongma.ParticipantID("bank-" + w[i])
	}
	switch w[0] {
	case "market":
		s.market.banks = append(s.market.banks, bank(1))
		s.market.balance[bank(1)] = s.minor(w[2])
		if len(w) > 4 {
			s.market.prefunding[bank(1)] = s.minor(w[4])
		}
	case "fund":
		s.market.fund = s.minor(w[1])
	case "share":
		s.market.shares = append(s.market.shares, schemes.LossShare{Participant: bank(1), Weight: int64(s.number(w[2])), CapMinor: s.minor(w[4])})
	case "recast":
		s.market.recast = true
	case "pairs":
		s.market.method = w[1]
	case "open":
		s.rig = newRig(s.t, s.market)
	case "pay":
		s.names[s.pay(w[2]+">"+w[4], s.minor(w[5]))] = w[1]
	case "close":
		return []string{s.closeWindow().String()}
	case "has":
		s.bank.balance[accountNumber(s.payer(w[1]))] = s.minor(w[2])
	case "by":
		return s.byHand(w)
	case "resume":
		s.must(clearing.Entry{Kind: clearing.KindResume, Debtor: bank(1), Maker: "ann"})
	case "stop":
		s.stop = w[1]
	case "rules":
		s.market.fund = s.minor(w[2])
		d, err := s.market.directory()
		if err != nil {
			s.t.Fatal(err)
		}
		s.dir = d
	case "agent":
		if w[1] == "away" || w[1] == "back" {
			s.away = w[1] == "away"
			return nil
		}
		if w[2] == "moved" || w[2] == "refused" {
			s.bank.decide(s.bank.side(s.payer(w[1])), w[2] == "moved")
			return nil
		}
		word := map[string]Word{"reject": {Outcome: Rejected}, "pending": {Outcome: Pending}, "part": {Outcome: Partly}}[w[2]]
		if w[2] == "part" {
			word.Amount = cny(s.minor(w[3]))
		}
		k := s.bank.side(s.payer(w[1]))
		s.bank.faults[k] = append(s.bank.faults[k], word)
	case "plan", "settle":
		return s.run(w)
	default:
		return s.show(w)
	}
	return nil
}

func (s *script) run(w []string) (out []string) {
	how := How{DryRun: w[0] == "plan"}
	for i, word := range w {
		how.Retry = how.Retry || word == "retry"
		if word == "steps" {
			how.Steps = s.number(w[i+1])
		}
	}
	switch s.stop {
	case "":
	case "moved", "sent":
		s.bank.stop = s.stop
	default:
		for k := range clearing.Kind(64) {
			if k.String() == s.stop {
				*s.books.ends = k
			}
		}
	}
	rep, err := s.settler().Settle(s.t.Context(), tongma.WindowID(s.number(w[1])), how)
	stopped := s.stop != ""
	s.stop, s.books.gone, s.bank.gone, s.bank.stopper.left = "", false, false, -1
	if *s.books.ends = clearing.KindNone; err != nil && !stopped {
		s.t.Fatal(err)
	}
	for _, e := range rep.Events {
		out = append(out, e.String())
	}
	for _, e := range rep.Open {
		out = append(out, "waits: "+e.String())
	}
	for _, p := range rep.Plan {
		line := "next: " + p.Kind.String() + " " + string(p.Short)
		if p.Payer != "" && p.Payer != p.Short {
			line += " by " + string(p.Payer)
		}
		out = append(out, line+" "+p.Amount.String())
	}
	progress := s.sheet(tongma.WindowID(s.number(w[1]))).Progress.String()
	if stopped {
		progress += ", and the switch stopped"
	}
	return append(out, progress)
}

// byHand has a person say what the agent did.
func (s *script) byHand(w []string) []string {
	who := func(name string) tongma.ParticipantID {
		if name == "settlement" {
			return ""
		}
		return tongma.ParticipantID("bank-" + name)
	}
	h := ByHand{Window: tongma.WindowID(s.number(w[3])), By: w[1], Instruction: "none"}
	for _, in := range clearing.Instruct(s.sheet(h.Window)) {
		if in.Debtor == who(w[4]) && in.Creditor == who(w[6]) {
			h.Instruction = in.ID
		}
	}
	for _, a := range append(s.books.book.Asked(h.Window), s.books.book.Words(h.Window)...) {
		if payer := cmp.Or(a.Payer, a.Debtor); payer == who(w[4]) || (w[4] == "fund" && payer == drillFund) {
			h.Instruction = a.Instruction
		}
	}
	leg := fmt.Sprint(w[3:7])
	if h.Instruction == "none" && s.spoken[leg] != "" { // as somebody who repeats it
		h.Instruction = s.spoken[leg]
	}
	s.spoken[leg] = h.Instruction
	if len(w) > 7 && w[7] != "seen" {
		h.Part = s.minor(w[7])
	}
	if i := slices.Index(w, "seen"); i > 0 {
		h.Evidence = strings.Join(w[i+1:], " ")
	}
	do := map[string]func(context.Context, ByHand) (HandDone, error){"confirm": s.settler().Confirm, "refuse": s.settler().Refuse, "dismiss": s.settler().Dismiss}[w[2]]
	done, err := do(s.t.Context(), h)
	if err != nil {
		e := err.(*tongma.Error)
		if e.Detail != "" {
			return []string{e.Reason.String() + ": " + e.Detail}
		}
		return []string{e.Reason.String()}
	}
	return []string{done.Money, done.Sheet.Progress.String()}
}

func (s *script) show(w []string) (out []string) {
	switch w[0] {
	case "legs":
		for _, l := range s.sheet(tongma.WindowID(s.number(w[1]))).Legs {
			out = append(out, fmt.Sprintf("%s -> %s %s, settled %s, due %s", side(l.Debtor), side(l.Creditor), dec(l.Net), dec(l.Settled), dec(l.Due)))
		}
	case "payments":
		s.books.book.WindowPayments(tongma.WindowID(s.number(w[1])), func(it clearing.WindowItem) bool {
			line := fmt.Sprintf("%s %s -> %s %s", cmpOr(s.names[it.Payment], it.Kind.String()), it.Debtor, it.Creditor, it.Amount.Decimal())
			if it.DeferredTo != 0 {
				line += ", deferred to " + it.DeferredTo.String()
			}
			out = append(out, line)
			return true
		})
	case "money":
		for _, b := range append(append([]tongma.ParticipantID{}, s.market.banks...), drillFund) {
			line := fmt.Sprintf("%s %s", b, dec(s.bank.balance[accountNumber(b)]))
			if s.market.prefunding[b] > 0 {
				line += ", prefunding " + dec(s.bank.balance[prefundingNumber(b)])
			}
			out = append(out, line)
		}
		out = append(out, "settlement "+dec(s.bank.balance[drillAccount]))
	case "positions":
		for _, p := range s.books.book.Positions() {
			line := fmt.Sprintf("%s %s", p.Participant, dec(p.Position))
			if p.Suspended {
				line += ", suspended"
			}
			out = append(out, line)
		}
	default:
		s.t.Fatalf("no command %q", w)
	}
	return out
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

func (s *script) payer(name string) tongma.ParticipantID {
	switch name {
	case "fund":
		return drillFund
	case "settlement":
		return ""
	}
	return tongma.ParticipantID("bank-" + name)
}
