package api

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/recon"
	"github.com/tongma/tongma/switch/office"
	"github.com/tongma/tongma/switch/shard"
)

// Reasons of what the office does.
var (
	reasonsWritten = []tongma.Reason{tongma.OperationUnknown, tongma.FieldInvalid, tongma.JournalInDoubt}
	reasonsTwo     = []tongma.Reason{tongma.ProposalUnknown, tongma.StateConflict, tongma.MakerIsChecker, tongma.CapChanged}
	reasonsOrder   = []tongma.Reason{tongma.KeyMissing, tongma.NoAccount, tongma.ExistsOtherOperation, tongma.ExistsOtherParticipant, tongma.ExistsOtherAmount,
		tongma.ExistsOtherCurrency, tongma.ExistsOtherContent, tongma.CurrencyUnknown}
	reasonsFunds = []tongma.Reason{tongma.PositionOverflow, tongma.ParticipantSuspended, tongma.AmountInvalid, tongma.OverCap}
	reasonsFiles = []tongma.Reason{tongma.SetupInvalid, tongma.WindowUnknown, tongma.WindowNotClosed, tongma.MessageTooLong, tongma.MessageMalformed,
		tongma.FieldMissing, tongma.CurrencyMismatch, tongma.CurrencyUnknown, tongma.StateConflict}
)

func dryParam() *huma.Param {
	return &huma.Param{Name: "dry_run", In: "query", Description: "ask the same questions, and write nothing",
		Schema: &huma.Schema{Type: huma.TypeBoolean, Default: false}}
}

func formatParam(forms ...any) *huma.Param {
	return &huma.Param{Name: "format", In: "query", Description: "the form of the answer; the header Accept says it too", Schema: &huma.Schema{Type: huma.TypeString, Enum: forms, Default: forms[0]}}
}

func choiceParam(name, text string, choices ...any) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: text, Schema: &huma.Schema{Type: huma.TypeString, Enum: choices}}
}

// does describes an operation of the operator that writes. A body of nil is none.
func (d describe) does(op huma.Operation, body any, text string, answer any, handle func(*call) error, reasons ...[]tongma.Reason) operation {
	op.Parameters = append(op.Parameters, dryParam())
	groups := [][]tongma.Reason{reasonsAsked, reasonsBooks, reasonsWritten, {tongma.MessageTooLong}}
	if body != nil {
		op.RequestBody = d.body(body, true)
		groups = append(groups, reasonsBody)
	}
	op.Responses = map[string]*huma.Response{"200": d.json(text, answer)}
	d.problems(&op, slices.Concat(groups, reasons)...)
	return operation{op, operatorOnly, handle}
}

// asCSV adds a second form to an answer.
func asCSV(op *huma.Operation) {
	op.Responses["200"].Content["text/csv"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
}

func csvToo(op operation) operation {
	asCSV(&op.Operation)
	return op
}

func with(op huma.Operation, params ...*huma.Param) huma.Operation {
	op.Parameters = append(op.Parameters, params...)
	return op
}

func (a *API) officeOperations(d describe) []operation {
	const tag = "office"
	participant := pathParam("the participant")
	caps := with(base("list-cap-proposals", tag, "GET", "/v1/caps/proposals", "List the caps that were proposed", "It reads the whole journal."),
		textParam("participant", "only of this one"), choiceParam("waiting", "only those that nobody has decided on", "true", "false"))
	caps.Responses = map[string]*huma.Response{"200": d.json("Latest first.", CapList{})}
	d.problems(&caps, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.OperationUnknown, tongma.FieldInvalid, tongma.ParticipantUnknown})
	members := base("list-participants", tag, "GET", "/v1/participants", "List the participants and how they stand", "It reads the whole journal.")
	members.Responses = map[string]*huma.Response{"200": d.json("By id.", ParticipantList{})}
	d.problems(&members, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.OperationUnknown})
	fund := func(id, path, summary, text string, handle func(*call) error) operation {
		return d.does(with(base(id, tag, "POST", path, summary, text), participant, keyParam(true)), FundsBody{}, "What was done.", office.Done{}, handle, reasonsOrder, reasonsFunds)
	}
	stand := func(id, path, summary, text string, handle func(*call) error) operation {
		return d.does(with(base(id, tag, "POST", path, summary, text), participant), WhyBody{}, "What was done.", office.Done{}, handle, []tongma.Reason{tongma.StateConflict})
	}
	const two = "It takes two people: who proposes and who approves are the names of their tokens, never what a body says."
	return []operation{
		d.does(with(base("propose-cap", tag, "POST", "/v1/caps/proposals", "Propose another net debit cap", "The cap stays until a second person approves. "+two), keyParam(true)),
			CapBody{}, "What was done.", office.Done{}, (*call).proposeCap, reasonsOrder),
		d.does(with(base("approve-cap", tag, "POST", "/v1/caps/proposals/{id}/approve", "Put a proposed cap into force", two), pathParam("the proposal's key")),
			nil, "What was done.", office.Done{}, (*call).approveCap, reasonsTwo),
		d.does(with(base("reject-cap", tag, "POST", "/v1/caps/proposals/{id}/reject", "End a proposal", "The cap stays as it is. "+two), pathParam("the proposal's key")),
			nil, "What was done.", office.Done{}, (*call).rejectCap, reasonsTwo),
		{caps, operatorOnly, (*call).caps},
		{members, operatorOnly, (*call).participants},
		stand("suspend-participant", "/v1/participants/{id}/suspend", "Block a participant's debits", "Its credits, and what is held already, go on.", (*call).suspend),
		stand("resume-participant", "/v1/participants/{id}/resume", "Allow a participant's debits again", "One that the directory suspends is resumed there.", (*call).resume),
		d.does(with(base("move-participant", tag, "POST", "/v1/participants/{id}/move", "Move a participant to another shard", "Of a switch of several shards. What it owes and its caps go with it; the same again finishes what was cut off."), pathParam("the participant's id")),
			MoveBody{}, "How far it is.", shard.MoveReport{}, (*call).move, []tongma.Reason{tongma.Overloaded, tongma.NoAccount}),
		fund("deposit", "/v1/participants/{id}/deposits", "Book prefunding that came in", "It adds to what the participant may debit.", (*call).deposit),
		fund("withdraw", "/v1/participants/{id}/withdrawals", "Book prefunding as going out", "Before it is paid: what is booked out cannot be debited against.", (*call).withdraw),
		a.reconcileOperation(d),
		a.breaksOperation(d),
		d.does(with(base("resolve-break", tag, "POST", "/v1/recon/breaks/{id}/resolve", "End a break by a person's word", "For good. It moves no money: the entry that does is named."), pathParam("the break")),
			ResolveBody{}, "The break.", recon.Break{}, (*call).resolveBreak, []tongma.Reason{tongma.BreakUnknown, tongma.StateConflict, tongma.SetupInvalid}),
	}
}

func (a *API) reconcileOperation(d describe) operation {
	op := with(base("reconcile", "office", "POST", "/v1/recon/runs", "Hold files against the journal",
		`Parts called "agent" are camt.053 or camt.054 messages of the settlement agent, parts called "from:" and a participant are its files: CSV or camt.053. `+
			"All together have at most 256 MiB. The same file again finds the same breaks, and no money moves."),
		dryParam(), textParam("window", "which window the files are about; may be given several times; none means those that the rows name"), formatParam("json", "csv"))
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"multipart/form-data": {Schema: &huma.Schema{Type: huma.TypeObject,
		AdditionalProperties: &huma.Schema{Type: huma.TypeString, Format: "binary"}}}}}
	op.Responses = map[string]*huma.Response{"200": d.json("What was found.", office.ReconReport{})}
	asCSV(&op)
	d.problems(&op, reasonsAsked, reasonsBooks, reasonsFiles, []tongma.Reason{tongma.OperationUnknown, tongma.FieldInvalid})
	return operation{op, operatorOnly, (*call).reconcile}
}

func (a *API) breaksOperation(d describe) operation {
	op := with(base("list-breaks", "office", "GET", "/v1/recon/breaks", "List differences between the books and others'", "Each has an owner, an age and the money at risk."),
		choiceParam("state", "both if not given", "open", "ended"), textParam("kind", "of break"), choiceParam("owner", "who has to explain it first", "switch", "participant", "agent"),
		textParam("participant", "whose"), textParam("window", "of which window"), textParam("payment", "about which payment"), textParam("currency", "of the money at risk"),
		countParam("at_risk_minor", "at least so much, in minor units", 0, 0), countParam("age_hours", "open for at least so long", 0, 0),
		countParam("limit", "at most so many", breaksStandard, breaksMost), formatParam("json", "csv"))
	op.Responses = map[string]*huma.Response{"200": d.json("Oldest first.", BreakList{})}
	asCSV(&op)
	d.problems(&op, reasonsAsked, []tongma.Reason{tongma.OperationUnknown, tongma.FieldInvalid, tongma.SetupInvalid, tongma.ParticipantUnknown})
	return operation{op, operatorOnly, (*call).breaks}
}
