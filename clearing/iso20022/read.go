package iso20022

import (
	"strings"
	"time"

	"github.com/tongma/tongma"
)

// Message is what the settlement agent sent, in our words. Which of the lists is
// filled follows from the definition.
type Message struct {
	Definition Definition
	ID         string
	Created    time.Time // zero if the message does not say
	Header     *Header   // of the envelope; nil if the document came alone
	Statements []Statement
	Advices    []Advice
	Statuses   []Status
	Unknown    int // elements that the schema does not have where they stand
}

// receipts is the stem of camt.025 in any version; it has the shape of none.
const receipts Definition = "camt.025.001."

// Read reads a camt.053, camt.054, pacs.002 or camt.025, alone or in an envelope
// of whatever name that holds one AppHdr and one Document. A message is taken
// whole or refused whole: the error is a *tongma.Error with the path of the
// element, caused by a Fault. Elements that are not known are tolerated and
// counted; the order of elements is not checked.
func Read(data []byte) (*Message, error) {
	r := reader{faults: &faults{op: "iso20022.Read"}}
	m := &Message{}
	head, doc := r.open(r.parse(data))
	if doc != nil && r.err == nil {
		m.Definition = Definition(strings.TrimPrefix(doc.name.Space, namespaceStem))
		r.space = doc.name.Space
		r.document(m, doc)
	}
	if head != nil && r.err == nil {
		m.Header = r.header(head, m)
	}
	if r.err != nil {
		return nil, r.err
	}
	m.Unknown = r.unknown
	return m, nil
}

// open finds the header, if there is one, and the document of a message.
func (r *reader) open(root *node) (head, doc *node) {
	var walk func(n *node, depth int)
	walk = func(n *node, depth int) {
		var into **node
		switch n.name.Local {
		case "AppHdr":
			into = &head
		case "Document":
			into = &doc
		default:
			for _, k := range n.kids {
				if depth < maxNesting {
					walk(k, depth+1)
				}
			}
			return
		}
		if *into != nil {
			r.at(FaultRepeated, n, "")
		}
		*into = n
	}
	if root == nil {
		return nil, nil
	}
	walk(root, 0)
	if doc == nil {
		r.at(FaultMissing, root, "no Document")
	}
	return head, doc
}

func (r *reader) document(m *Message, doc *node) {
	if doc.mixed {
		r.at(FaultMalformed, doc, "text stands between elements")
	}
	before := len(doc.kids)
	switch d := m.Definition; {
	case !strings.HasPrefix(doc.name.Space, namespaceStem):
		r.at(FaultNamespace, doc, "")
	case d == Camt053:
		r.statements(m, r.one(doc, "BkToCstmrStmt"))
	case d == Camt054:
		r.advices(m, r.one(doc, "BkToCstmrDbtCdtNtfctn"))
	case d == Pacs002:
		r.statuses(m, r.one(doc, "FIToFIPmtStsRpt"))
	case strings.HasPrefix(string(d), string(receipts)) && len(d) == len(receipts)+2:
		r.receipts(m, r.one(doc, "Rct"))
	default:
		r.at(FaultNamespace, doc, "this message or version is not read")
	}
	r.unknown += before - 1
}

// header reads the business header, and holds it against the document.
func (r *reader) header(n *node, m *Message) *Header {
	if r.space = n.name.Space; r.space != Head001.Namespace() {
		r.at(FaultNamespace, n, "the header is not "+string(Head001))
		return nil
	}
	r.enter(n, "BusinessApplicationHeaderV02")
	h := &Header{From: r.party(r.one(n, "Fr")), To: r.party(r.one(n, "To")), ID: r.id(n, "BizMsgIdr"),
		Definition: Definition(r.id(n, "MsgDefIdr")), Created: r.time(r.one(n, "CreDt")), PossibleDuplicate: r.flag(n, "PssblDplct")}
	if r.err == nil && h.Definition != m.Definition {
		r.at(FaultDefinition, r.one(n, "MsgDefIdr"), "")
	}
	return h
}

// party reads a choice of institution and organisation.
func (r *reader) party(n *node) (p Party) {
	r.enter(n, "Party44Choice")
	institution, organisation := r.opt(n, "FIId"), r.opt(n, "OrgId")
	if n != nil && (institution == nil) == (organisation == nil) {
		r.at(FaultMissing, n, "one of FIId and OrgId")
		return p
	}
	var bic, lei, other *node
	if institution != nil {
		r.enter(institution, "BranchAndFinancialInstitutionIdentification6")
		in := r.one(institution, "FinInstnId")
		r.enter(in, "FinancialInstitutionIdentification18")
		p.Name, bic, lei, other = r.optText(in, "Nm", 140), r.opt(in, "BICFI"), r.opt(in, "LEI"), r.opt(in, "Othr")
		r.enter(other, "GenericFinancialIdentification1")
	} else {
		r.enter(organisation, "PartyIdentification135")
		id := r.opt(organisation, "Id")
		r.enter(id, "Party38Choice")
		org := r.opt(id, "OrgId")
		r.enter(org, "OrganisationIdentification29")
		p.Name, bic, lei = r.optText(organisation, "Nm", 140), r.opt(org, "AnyBIC"), r.opt(org, "LEI")
		if others := r.many(org, "Othr"); len(others) > 0 {
			other = others[0]
		}
		r.enter(other, "GenericOrganisationIdentification1")
	}
	if p.BIC = r.text(bic, 11); bic != nil && !validBIC(p.BIC) {
		r.at(FaultParty, bic, "not of the form of ISO 9362")
	}
	if p = r.lei(p, lei); other != nil {
		p.Other, p.Scheme = r.id(other, "Id"), ""
		if scheme := r.opt(other, "SchmeNm"); scheme != nil {
			p.Scheme, _ = r.choice(scheme, "FinancialIdentificationSchemeName1Choice", 35)
		}
	}
	return p
}

// Status is what the agent says about an instruction.
type Status struct {
	Instruction string // EndToEndId, else InstrId or TxId, of the instruction; empty if it names a UETR only, or Whole
	UETR        string
	Original    string // MsgId of the message that instructed; may be empty
	Whole       bool   // it is about every instruction of the original message
	Outcome     tongma.Outcome
	Code        string // as the agent wrote it: ACSC, RJCT
	Reason      string // codes and text of the agent, which may name accounts: not for logs
	Settled     Date   // when it was settled; zero if the agent does not say
	AgentRef    string // AcctSvcrRef
}

// About tells whether the status is that of our instruction with this id: its
// EndToEndId and UETR, as far as they came back, both belong to it. A status of a
// whole message is about no instruction by itself.
func (s *Status) About(instruction string) bool {
	return !s.Whole && about(instruction, s.Instruction, s.UETR)
}

// outcomes are the codes that end an instruction. Any other, accepted for now,
// pending, received or unheard of, tells nothing about the money.
var outcomes = map[string]tongma.Outcome{
	"ACSC": tongma.Approved, // settlement on the debtor's account is completed
	"ACCC": tongma.Approved, // settlement on the creditor's account is completed
	"RJCT": tongma.Declined,
	"CANC": tongma.Declined,
}

// maxReasons bounds the reasons of one status that are kept, maxReasonText their
// text in bytes.
const (
	maxReasons    = 8
	maxReasonText = 1000
)

func (r *reader) statuses(m *Message, n *node) {
	r.enter(n, "FIToFIPaymentStatusReportV10")
	h := r.one(n, "GrpHdr")
	r.enter(h, "GroupHeader91")
	m.ID, m.Created = r.id(h, "MsgId"), r.time(r.one(h, "CreDtTm"))
	groups := r.many(n, "OrgnlGrpInfAndSts")
	for _, g := range groups {
		r.enter(g, "OriginalGroupHeader17")
		r.id(g, "OrgnlMsgNmId")
		s := Status{Original: r.id(g, "OrgnlMsgId"), Whole: true, Code: r.optText(g, "GrpSts", 4), Reason: r.reasons(g)}
		s.Outcome = outcomes[s.Code]
		m.Statuses = append(m.Statuses, s)
	}
	seen := map[[2]string]bool{}
	for _, t := range r.many(n, "TxInfAndSts") {
		s := r.status(t)
		if key := [2]string{s.Instruction, s.UETR}; r.err == nil && seen[key] {
			r.at(FaultDuplicate, t, "")
		} else {
			seen[key] = true
		}
		if s.Original == "" && len(groups) == 1 {
			s.Original = m.Statuses[0].Original
		}
		m.Statuses = append(m.Statuses, s)
		if r.err != nil {
			return
		}
	}
	doubt(m.Statuses)
}

// doubt takes the outcome from the status of a whole message when one of its
// instructions fared otherwise.
func doubt(all []Status) {
	fared := map[string]map[tongma.Outcome]bool{}
	for _, s := range all {
		if !s.Whole {
			if fared[s.Original] == nil {
				fared[s.Original] = map[tongma.Outcome]bool{}
			}
			fared[s.Original][s.Outcome] = true
		}
	}
	for i := range all {
		s := &all[i]
		if f := fared[s.Original]; s.Whole && len(f) > 0 && (len(f) > 1 || !f[s.Outcome]) {
			s.Outcome = tongma.Unknown
		}
	}
}

func (r *reader) status(t *node) Status {
	r.enter(t, "PaymentTransaction110")
	s := Status{UETR: r.uetr(t, "OrgnlUETR"), Code: r.optText(t, "TxSts", 4), Reason: r.reasons(t),
		Settled: r.date(r.opt(t, "FctvIntrBkSttlmDt")), AgentRef: r.optID(t, "AcctSvcrRef")}
	for _, name := range [...]string{"OrgnlEndToEndId", "OrgnlInstrId", "OrgnlTxId"} {
		if id := r.optID(t, name); s.Instruction == "" {
			s.Instruction = id
		}
	}
	if s.Instruction == "" && s.UETR == "" {
		r.at(FaultMissing, t, "it names no instruction")
	}
	if g := r.opt(t, "OrgnlGrpInf"); g != nil {
		r.enter(g, "OriginalGroupInformation29")
		s.Original = r.id(g, "OrgnlMsgId")
	}
	s.Outcome = outcomes[s.Code]
	return s
}

// reasons joins codes and text: "AC04 account closed; AM05".
func (r *reader) reasons(n *node) string {
	var all []string
	length := 0
	for i, info := range r.many(n, "StsRsnInf") {
		r.enter(info, "StatusReasonInformation12")
		why, _ := r.choice(r.opt(info, "Rsn"), "StatusReason6Choice", 35)
		words := []string{why}
		for _, more := range r.many(info, "AddtlInf") {
			words = append(words, r.text(more, 105))
		}
		reason := strings.TrimSpace(strings.Join(words, " "))
		if length += len(reason); i < maxReasons && length <= maxReasonText && reason != "" {
			all = append(all, reason)
		}
	}
	return strings.Join(all, "; ")
}

// receipts reads a camt.025. Its schema is not at hand here, so that the shape is
// taken by the names of the elements, and not validated. A receipt is about a
// whole message, such as a camt.050.
func (r *reader) receipts(m *Message, n *node) {
	r.enter(n, "Receipt")
	h := r.one(n, "MsgHdr")
	r.enter(h, "ReceiptHeader")
	m.ID, m.Created = r.id(h, "MsgId"), r.time(r.opt(h, "CreDtTm"))
	for _, details := range r.many(n, "RctDtls") {
		r.enter(details, "ReceiptDetails")
		original := r.one(details, "OrgnlMsgId")
		r.enter(original, "OriginalMessage")
		s := Status{Original: r.id(original, "MsgId"), Whole: true}
		handling := r.many(details, "ReqHdlg")
		if len(handling) > 1 {
			r.at(FaultRepeated, handling[1], "")
		}
		if len(handling) == 1 {
			r.enter(handling[0], "RequestHandling")
			s.Code, s.Reason = r.optText(handling[0], "StsCd", 4), r.optText(handling[0], "Desc", 140)
			if sts := r.opt(handling[0], "Sts"); sts != nil {
				var coded bool
				if s.Code, coded = r.choice(sts, "RequestStatus", 35); !coded {
					s.Reason, s.Code = strings.TrimSpace(s.Code+" "+s.Reason), ""
				}
			}
		}
		s.Outcome = outcomes[s.Code]
		m.Statuses = append(m.Statuses, s)
		if r.err != nil {
			return
		}
	}
	if len(m.Statuses) == 0 && n != nil {
		r.fail(FaultMissing, n.path()+"/RctDtls", n.at, "")
	}
}
