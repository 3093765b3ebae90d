package iso20022

import (
	"strconv"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// xmlMultilateral is MultilateralSettlementRequestV02 with one request.
type xmlMultilateral struct {
	ID         string         `xml:"MulSttlmReq>GrpHdr>MsgId"`
	Created    string         `xml:"MulSttlmReq>GrpHdr>CreDtTm"`
	Requests   int            `xml:"MulSttlmReq>GrpHdr>NbOfSttlmReqs"`
	Sum        string         `xml:"MulSttlmReq>GrpHdr>CtrlSum"`
	Settlement *xmlSettlement `xml:"MulSttlmReq>GrpHdr>SttlmInf"`
	Key        string         `xml:"MulSttlmReq>SttlmReq>InstrId"`
	Cycle      string         `xml:"MulSttlmReq>SttlmReq>SttlmCycl"`
	Count      int            `xml:"MulSttlmReq>SttlmReq>NbOfMvmntRcrds"`
	Legs       []xmlMovement  `xml:"MulSttlmReq>SttlmReq>MvmntRcrd"`
}

type xmlMovement struct {
	ID                 string           `xml:"Id"`
	Amount             xmlAmount        `xml:"Amt>Amt"`
	Direction          string           `xml:"Amt>CdtDbt"`
	Agent              *xmlOrganisation `xml:"SttlmAgt"`
	Participant        *xmlOrganisation `xml:"Ptcpt"`
	ParticipantAccount *xmlAccount      `xml:"PtcptAcct"`
}

// direction is CreditDebitCode.
func direction(credit bool) string {
	if credit {
		return "CRDT"
	}
	return "DBIT"
}

// Settlement returns a pacs.029 with the whole of a net sheet in one currency: a
// movement for each net debtor, then one for each net creditor, whose sum is
// zero. The message has no settlement date; SttlmCycl carries the window. A
// currency in which no participant owes anything has nothing to settle.
func Settlement(h Heading, s clearing.Sheet, currency tongma.Currency) (Document, error) {
	const path, legs = "/Document/MulSttlmReq", "/Document/MulSttlmReq/SttlmReq/MvmntRcrd"
	c := faults{op: "iso20022.Settlement"}
	c.heading(path+"/GrpHdr", h.ID, h.Created)
	x := xmlMultilateral{ID: h.ID, Created: stamp(h.Created), Requests: 1, Settlement: c.settlement(path+"/GrpHdr/SttlmInf", &h, currency.Code()),
		Key: SheetKey(s, currency), Cycle: cycle(s.Window)}
	switch {
	case s.Window == 0 || s.Hash == [32]byte{}:
		c.fail(FaultMixedSheet, path+"/SttlmReq", 0, "the sheet has no window or no hash")
	case s.State == clearing.WindowOpen:
		c.fail(FaultOpen, path+"/SttlmReq", 0, "its figures are not final")
	}
	moved, net := tongma.Money{Currency: currency}, tongma.Money{Currency: currency}
	seen := map[tongma.ParticipantID]bool{}
	for _, in := range clearing.Instruct(s) {
		if in.Amount.Currency != currency {
			continue
		}
		at := step(legs, len(x.Legs))
		if in.Debtor != "" && in.Creditor != "" {
			c.fail(FaultDirection, at, 0, "it runs between two participants")
		}
		if seen[in.Participant] {
			c.fail(FaultDuplicate, at+"/Ptcpt", 0, "")
		}
		seen[in.Participant] = true
		x.Legs = append(x.Legs, c.movement(at, &h, &in))
		moved = c.add(at+"/Amt/Amt", moved, in.Amount)
		if !in.Debit {
			in.Amount.Minor = -in.Amount.Minor
		}
		net = c.add(at+"/Amt/Amt", net, in.Amount)
		if len(x.Legs) > MaxLegs {
			c.fail(FaultTooMany, legs, 0, strconv.Itoa(MaxLegs)+" legs")
		}
		if c.err != nil {
			break
		}
	}
	switch {
	case c.err == nil && len(x.Legs) == 0:
		c.fail(FaultNothing, legs, 0, "")
	case net.Minor != 0:
		c.fail(FaultNotZero, legs, 0, "")
	}
	x.Count, x.Sum = len(x.Legs), moved.Decimal()
	return c.document(Pacs029, h.ID, h.Created, x)
}

func (c *faults) movement(path string, h *Heading, in *clearing.Instruction) xmlMovement {
	p := c.participant(path+"/Ptcpt", h, in.Participant)
	m := xmlMovement{ID: in.ID, Amount: c.amount(path+"/Amt/Amt", in.Amount), Direction: direction(!in.Debit),
		Participant: c.organisation(path+"/Ptcpt", p), ParticipantAccount: c.account(path+"/PtcptAcct", p.Account, in.Amount.Currency.Code())}
	if !h.Agent.IsZero() {
		m.Agent = c.organisation(path+"/SttlmAgt", h.Agent)
	}
	return m
}
