package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/switch/api"
	desk "github.com/tongma/tongma/switch/office"
)

// story is what happens in the live demo besides payments, so that who looks at it sees
// more than approvals: caps that two people set near to what is used, disputes, and a
// bank that refuses once.
type story struct {
	app     *app
	node    *node
	rate    float64
	window  time.Duration
	turns   int
	struck  bool                 // a bank has refused
	refused tongma.ParticipantID // whose bank has been told to refuse
	raised  []tongma.PaymentID   // disputes, oldest first
}

const (
	storyMaker, storyChecker = "ann", "ben"
	storyDisputes            = 8
	storyModel               = "thb-net"        // whose rules share the loss
	storyEarly               = 10 * time.Second // then there are payments to dispute
)

// storyCaps say how much of its cap a wallet uses up at the end of a window, and what
// one payment of the traffic adds to its position, in minor units of CNY.
var storyCaps = []struct {
	who        tongma.ParticipantID
	perPayment float64
	use        float64
}{{"tongbao", 19_60, 0.92}, {"unionnet", 37_40, 0.72}, {"wechatpay", 35_10, 0.55}, {"antnet", 32_20, 0.4}}

// storyPeople gives the operator the two people whom caps take.
func storyPeople(data string) error {
	for _, name := range []string{storyMaker, storyChecker} {
		if _, err := api.AddOperator(data, name); err != nil {
			return err
		}
	}
	return nil
}

// begin sets the caps, and leaves one proposal for whoever looks at the page.
func (s *story) begin(ctx context.Context) error {
	d := s.node.desk
	for _, c := range storyCaps {
		minor := roundUp(int64(c.perPayment*s.rate*s.window.Seconds()/c.use), 1000_00)
		key := fmt.Sprintf("demo-%s-%d", c.who, s.node.engine.Ledger().Next())
		if _, err := d.ProposeCap(ctx, desk.CapRequest{Key: key, Participant: c.who, Cap: tongma.Money{Minor: minor, Currency: tongma.CNY}, By: storyMaker}); err != nil {
			return err
		}
		if _, err := d.ApproveCap(ctx, desk.CapCheck{Key: key, By: storyChecker}); err != nil {
			return err
		}
	}
	_, err := d.ProposeCap(ctx, desk.CapRequest{Key: fmt.Sprintf("demo-more-%d", s.node.engine.Ledger().Next()), Participant: "tongbao",
		Cap: tongma.Money{Minor: 100_000_00, Currency: tongma.CNY}, By: storyMaker})
	s.app.say("%s  caps were set by two people, ann and ben; one more waits for yours: the page, or tongma cap ls", clock())
	return err
}

// roundUp is n in whole steps, and one step at least.
func roundUp(n, step int64) int64 { return max(1, (n+step-1)/step) * step }

func clock() string { return time.Now().Format("15:04:05") }

// dispute has a wallet dispute its latest payment.
func (s *story) dispute(ctx context.Context) error {
	var found clearing.Payment
	err := s.node.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		b.Recent(1, func(p *clearing.Payment) bool {
			if p.Op == tongma.OpPay && p.Phase == clearing.KindPost && p.Debtor == "wechatpay" && p.Disputed == 0 && p.Refunded == 0 {
				found = *p
				return true
			}
			return false
		})
	})
	if err != nil || found.ID.IsZero() {
		return err
	}
	done, err := s.node.desk.Raise(ctx, desk.DisputeRequest{Key: "demo-" + found.ID.String()[4:], By: found.Debtor, Payment: found.ID, Reason: "not-received"})
	if err == nil {
		s.raised = append(s.raised, done.Dispute.ID)
		s.app.say("%s  %s disputes %s: %s", clock(), found.Debtor, found.Amount, done.Money)
	}
	return err
}

// answer has the acquirer answer the latest dispute: by turns it holds against it, and
// gives in.
func (s *story) answer(ctx context.Context) error {
	if len(s.raised) == 0 {
		return nil
	}
	id, action := s.raised[len(s.raised)-1], dispute.Represent
	if len(s.raised)%2 == 0 {
		action = dispute.Accept
	}
	v, err := s.node.desk.ShowDispute(ctx, id, "")
	if err == nil {
		_, err = s.node.desk.Step(ctx, desk.DisputeStep{Dispute: id, By: v.Respondent, Action: action, Note: "file 4711"})
	}
	return err
}

// debtor is who owes most in the open window whose rules share a loss, if anybody does.
func (s *story) debtor(ctx context.Context) (who tongma.ParticipantID, err error) {
	most := int64(0)
	err = s.node.engine.Ledger().Read(ctx, func(b *clearing.Book) {
		for _, m := range b.Models() {
			if m.Name != storyModel {
				continue
			}
			sheet, _ := b.Sheet(m.Open)
			for _, n := range sheet.Nets {
				if n.Currency == tongma.THB && n.Net > most {
					who, most = n.Participant, n.Net
				}
			}
		}
	})
	return who, err
}

// turning is called before windows are closed. From the third time on, when somebody
// owes, one bank refuses once.
func (s *story) turning(ctx context.Context) error {
	if s.turns++; s.turns < 3 || s.struck {
		return nil
	}
	who, err := s.debtor(ctx)
	p, ok := s.node.registry.Current().Participant(who)
	if err != nil || !ok {
		return err
	}
	account, ok := p.Account("sandbox-agent", tongma.THB)
	if !ok {
		return nil
	}
	agent := simTarget{data: filepath.Join(s.node.cfg.data, "agent", "sandbox-agent")}
	_, err = agent.ask(ctx, s.app, "admin", http.MethodPost, "/admin/faults", agentsim.Fault{Kind: agentsim.Reject, Account: cmp.Or(account.ID.IBAN, account.ID.Other), Times: 1})
	if err == nil {
		s.refused, s.struck = who, true
		s.app.say("%s  the bank of %s refuses its THB debit this time: see who pays for it", clock(), who)
	}
	return err
}

// turned is called when windows were closed and settled.
func (s *story) turned(ctx context.Context) error {
	var faults []error
	if who := s.refused; who != "" {
		s.refused = ""
		_, err := s.node.desk.Resume(ctx, desk.Standing{Participant: who, Why: "paid in full", By: storyMaker})
		if err == nil {
			s.app.say("%s  %s was suspended when its bank refused; others paid its debt, and are owed it; ann has let it go on", clock(), who)
		}
		faults = append(faults, err)
	}
	if len(s.raised) < storyDisputes {
		faults = append(faults, s.answer(ctx), s.dispute(ctx))
	}
	return errors.Join(faults...)
}

// told passes on what became of a part of the story: it is no more than that, so that a
// fault in it ends nothing.
func (s *story) told(err error) {
	if err != nil {
		s.app.say("%s  not as planned: %v", clock(), err)
	}
}
