package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// The document is made from the operations below, and committed as openapi.json.
// The shapes of the canonical messages are written out here for the document only:
// package tongma reads and writes them, and a test holds the two together.

func init() { huma.DefaultArrayNullable = false } // no list of ours is ever null

// Money is an amount in the document.
type Money struct {
	Minor    int64  `json:"minor" minimum:"-4611686018427387904" maximum:"4611686018427387904" doc:"whole minor units of the currency" example:"1250"`
	Currency string `json:"currency" pattern:"^[A-Z]{3}$" doc:"ISO 4217 letters" example:"CNY"`
}

// Exchange is a payment in two currencies, in the document.
type Exchange struct {
	_       struct{} `additionalProperties:"true"`
	Dealer  string   `json:"dealer,omitempty" doc:"takes the source on the payer's side, and gives the target on the merchant's"`
	Quote   string   `json:"quote,omitempty" maxLength:"64" doc:"the dealer's number of its quote, which is used once"`
	Rate    string   `json:"rate,omitempty" maxLength:"48" doc:"how much of the second currency is one of the first, and which side is fixed" example:"HKD/THB 4.1870 target"`
	Source  *Money   `json:"source,omitempty" doc:"what the payer pays; of a refund, gets back"`
	Target  *Money   `json:"target,omitempty" doc:"what the merchant gets; of a refund, gives back"`
	Expires string   `json:"expires,omitempty" format:"date-time" doc:"until when the quote may be named in a transfer"`
}

// Merchant is who is paid, in the document.
type Merchant struct {
	ID       string `json:"id,omitempty" maxLength:"35"`
	Name     string `json:"name,omitempty" maxLength:"128"`
	City     string `json:"city,omitempty" maxLength:"64"`
	Country  string `json:"country,omitempty" maxLength:"2" doc:"ISO 3166-1 alpha-2"`
	MCC      string `json:"mcc,omitempty" maxLength:"4" doc:"ISO 18245"`
	Terminal string `json:"terminal,omitempty" maxLength:"16"`
}

// PaymentRequest is the canonical request of a payment or a transfer, in the
// document.
type PaymentRequest struct {
	Key      string    `json:"key,omitempty" maxLength:"64" doc:"the idempotency key, if it is repeated in the body"`
	Code     string    `json:"code" maxLength:"1024" doc:"the scanned code, as the scanner gave it"`
	Amount   Money     `json:"amount"`
	Merchant *Merchant `json:"merchant,omitempty"`
	Order    string    `json:"order,omitempty" maxLength:"64" doc:"the merchant's own order number"`
	BudgetMs int64     `json:"budget_ms,omitempty" minimum:"0" maximum:"600000" doc:"how long the asker will wait"`
}

// TransferRequest is that of a wallet, which may have shown its payer a quote.
type TransferRequest struct {
	PaymentRequest
	PayIn string `json:"pay_in,omitempty" pattern:"^[A-Z]{3}$" doc:"what the payer pays in, where the wallet can choose"`
	Quote string `json:"quote,omitempty" maxLength:"64" doc:"the quote that the payer has seen: exchange.quote of the resolution; needed if it pays in another currency than the merchant is paid in"`
}

// RefundRequest is the canonical request of a refund, in the document.
type RefundRequest struct {
	Key      string    `json:"key,omitempty" maxLength:"64"`
	Original string    `json:"original,omitempty" doc:"the payment of the path, if it is repeated in the body"`
	Amount   Money     `json:"amount" doc:"all or part of the original; refunds under way count too"`
	Merchant *Merchant `json:"merchant,omitempty"`
	Order    string    `json:"order,omitempty" maxLength:"64"`
	BudgetMs int64     `json:"budget_ms,omitempty" minimum:"0" maximum:"600000"`
}

// ReversalRequest is the canonical request of a reversal, in the document.
type ReversalRequest struct {
	Key      string `json:"key,omitempty" maxLength:"64"`
	Original string `json:"original,omitempty" doc:"id of the payment"`
	OfKey    string `json:"of_key,omitempty" maxLength:"64" doc:"instead of the id: the key that the payment was sent with; /v1/reversals only"`
	Reason   string `json:"reason,omitempty" pattern:"^TM-[0-9]{4}$"`
	BudgetMs int64  `json:"budget_ms,omitempty" minimum:"0" maximum:"600000"`
}

// ResolveRequest asks whose a merchant's code is, in the document.
type ResolveRequest struct {
	Key      string    `json:"key,omitempty" maxLength:"64"`
	Code     string    `json:"code" maxLength:"1024"`
	Amount   *Money    `json:"amount,omitempty"`
	Merchant *Merchant `json:"merchant,omitempty"`
	Order    string    `json:"order,omitempty" maxLength:"64"`
	PayIn    string    `json:"pay_in,omitempty" pattern:"^[A-Z]{3}$" doc:"what the payer would pay in, where the wallet can choose"`
	BudgetMs int64     `json:"budget_ms,omitempty" minimum:"0" maximum:"600000"`
}

// Answer is the canonical answer, in the document.
type Answer struct {
	_          struct{}  `additionalProperties:"true"`
	Payment    string    `json:"payment,omitempty" pattern:"^pay_[0-9a-hjkmnp-tv-z]{26}$" example:"pay_01jd8v3k9r6x2m5n7q8s4t0w1z"`
	Original   string    `json:"original,omitempty" doc:"refund: what it gives back of"`
	Outcome    string    `json:"outcome" enum:"unknown,approved,declined" doc:"what the scheme said of the money; unknown is not a no"`
	Status     string    `json:"status" enum:"pending,approved,declined,reversed"`
	Reason     string    `json:"reason,omitempty" pattern:"^TM-[0-9]{4}$" doc:"why it is not simply approved: see /v1/errors"`
	ReasonName string    `json:"reason_name,omitempty"`
	Title      string    `json:"title,omitempty"`
	Money      string    `json:"money,omitempty" enum:"not_executed,executed,unknown" doc:"what happened to the money; only beside a reason"`
	Scheme     string    `json:"scheme,omitempty"`
	Issuer     string    `json:"issuer,omitempty"`
	Acquirer   string    `json:"acquirer,omitempty"`
	Amount     *Money    `json:"amount,omitempty" doc:"what was asked for, in the merchant's currency"`
	Exchange   *Exchange `json:"exchange,omitempty" doc:"both amounts, if the payer pays in another currency"`
	SchemeRef  string    `json:"scheme_ref,omitempty" maxLength:"64" doc:"the scheme's own number of it"`
	Approval   string    `json:"approval,omitempty" maxLength:"6"`
	At         string    `json:"at,omitempty" format:"date-time" doc:"when it was decided, from the journal"`
	Window     string    `json:"window,omitempty" doc:"clearing window, once posted" example:"win_000012"`
	Entry      int64     `json:"entry,omitempty" doc:"journal entry that this answer was built from"`
	AfterMs    int64     `json:"after_ms,omitempty" doc:"when asking again makes sense"`
	Detail     string    `json:"detail,omitempty" maxLength:"512"`
}

// Candidate is one way in which a code can be paid, in the document.
type Candidate struct {
	_           struct{} `additionalProperties:"true"`
	Scheme      string   `json:"scheme"`
	Participant string   `json:"participant"`
	Rule        string   `json:"rule,omitempty" doc:"directory rule that matched"`
	Path        string   `json:"path,omitempty" doc:"where in the code" example:"26.00"`
}

// Resolution says who would be paid by a code, in the document.
type Resolution struct {
	_          struct{}    `additionalProperties:"true"`
	Candidates []Candidate `json:"candidates" doc:"best first; none if reason says why"`
	Directory  uint64      `json:"directory" doc:"version of the directory that was asked"`
	Merchant   *Merchant   `json:"merchant,omitempty"`
	Amount     *Money      `json:"amount,omitempty" doc:"fixed by the code; none if the payer enters it"`
	Exchange   *Exchange   `json:"exchange,omitempty" doc:"what the payer would pay in another currency, by a quote that is kept until its end"`
	Reason     string      `json:"reason,omitempty" pattern:"^TM-[0-9]{4}$"`
	ReasonName string      `json:"reason_name,omitempty"`
	Detail     string      `json:"detail,omitempty"`
}

// Problem is a problem document of RFC 9457, in the document.
type Problem struct {
	_       struct{} `additionalProperties:"true"`
	Type    string   `json:"type" format:"uri" example:"urn:tongma:error:TM-1019"`
	Title   string   `json:"title"`
	Status  int      `json:"status"`
	Code    string   `json:"code" pattern:"^TM-[0-9]{4}$"`
	Reason  string   `json:"reason" example:"key-missing"`
	Outcome string   `json:"outcome" enum:"not_executed,executed,unknown" doc:"what happened to the money"`
	Act     string   `json:"act" enum:"nobody,cashier,payer,wallet,issuer,acquirer,scheme,switch,operator" doc:"who must do something"`
	Retry   string   `json:"retry" enum:"never,same-key,new-key,new-code,later"`
	Detail  string   `json:"detail,omitempty"`
	Field   string   `json:"field,omitempty" doc:"JSON pointer into the body, ?name of the query, or name of a header"`
	Offset  int      `json:"offset,omitempty" doc:"byte offset in the body"`
	Payment string   `json:"payment,omitempty"`
	Next    []string `json:"next,omitempty" doc:"what to do, first thing first"`
}

const securityName = "token"

// schemaName names a shape by its type. Packages that have words of ours for things of
// their own get their name before it.
func schemaName(t reflect.Type, hint string) string {
	name := huma.DefaultSchemaNamer(t, hint)
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	switch t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:] {
	case "recon":
		return "Recon" + name
	case "office":
		return "Office" + name
	}
	return name
}

func newDocument() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "Tongma", Version: "1.0.0",
			Description: "Payments by barcode between networks, and the books between them. A declined payment is a decided one: 200, with outcome `declined`. " +
				"202 means that it is not decided yet: repeat with the same key, or ask for the payment. Everything else is a problem document that says what happened to the money.",
			License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}},
		Servers: []*huma.Server{{URL: "/", Description: "the switch that serves this document"}},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{securityName: {Type: "http", Scheme: "bearer",
				Description: "The token of a participant or of the operator: the file creds/<name>.token of the installation."}},
		},
		Security: []map[string][]string{{securityName: {}}},
		Tags: []*huma.Tag{{Name: "payments", Description: "Taking, giving back and undoing payments."}, {Name: "books", Description: "Positions, windows and the journal."},
			{Name: "office", Description: "What operators do besides: caps, prefunding, suspensions, reconciliation."}, {Name: "disputes", Description: "What two networks do about a payment that one of them contests."}, {Name: "switch", Description: "About the switch itself."}},
	}
}

// renderDocument returns the document as it is served and committed.
func renderDocument(doc *huma.OpenAPI) ([]byte, error) {
	text, err := doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, text, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

func (a *API) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", jsonType)
	w.Header().Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(a.openapi)
}

// Reasons of problems, beside those of each operation.
var (
	reasonsAlways = []tongma.Reason{tongma.Internal, tongma.Overloaded}
	reasonsAsked  = []tongma.Reason{tongma.NotAuthenticated, tongma.NotPermittedHere, tongma.ParticipantUnknown}
	reasonsBody   = []tongma.Reason{tongma.MessageMalformed, tongma.MessageTooLong, tongma.FieldUnknown, tongma.FieldInvalid, tongma.FieldMissing}
	reasonsBooks  = []tongma.Reason{tongma.JournalStopped, tongma.SteppedDown, tongma.ShuttingDown}
	reasonsKey    = []tongma.Reason{tongma.KeyMissing, tongma.AmountMissing, tongma.AmountInvalid, tongma.CurrencyUnknown, tongma.ExistsOtherOperation,
		tongma.ExistsOtherAmount, tongma.ExistsOtherCurrency, tongma.ExistsOtherCode, tongma.ExistsOtherOriginal, tongma.ExistsOtherContent}
)

// describe puts together an operation of the document. Statuses of problems come
// from the catalogue by their reasons, and extra ones from outside of it.
type describe struct {
	registry huma.Registry
}

func (d describe) schema(v any) *huma.Schema {
	return d.registry.Schema(reflect.TypeOf(v), true, "")
}

func (d describe) json(text string, v any) *huma.Response {
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{jsonType: {Schema: d.schema(v)}}}
}

func (d describe) plain(text, kind string) *huma.Response {
	return &huma.Response{Description: text, Content: map[string]*huma.MediaType{kind: {Schema: &huma.Schema{Type: huma.TypeString}}}}
}

func (d describe) body(v any, required bool) *huma.RequestBody {
	return &huma.RequestBody{Required: required, Content: map[string]*huma.MediaType{jsonType: {Schema: d.schema(v)}}}
}

// problems adds the responses that the reasons call for.
func (d describe) problems(op *huma.Operation, groups ...[]tongma.Reason) {
	if op.Responses == nil {
		op.Responses = map[string]*huma.Response{}
	}
	byStatus := map[int][]tongma.Reason{}
	for _, group := range append(groups, reasonsAlways) {
		for _, r := range group {
			status := r.Info().HTTP
			if status < 400 {
				status = http.StatusServiceUnavailable
			}
			if !slices.Contains(byStatus[status], r) {
				byStatus[status] = append(byStatus[status], r)
			}
		}
	}
	if op.RequestBody != nil {
		byStatus[http.StatusUnsupportedMediaType] = []tongma.Reason{tongma.MessageMalformed}
	}
	for status, reasons := range byStatus {
		slices.Sort(reasons)
		codes := make([]string, len(reasons))
		for i, r := range reasons {
			codes[i] = r.Code() + " " + r.String()
		}
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: http.StatusText(status),
			Content:    map[string]*huma.MediaType{problemType: {Schema: d.schema(Problem{})}},
			Extensions: map[string]any{"x-tongma-reasons": codes}}
	}
}

// answers are the responses of an operation that asks about money.
func (d describe) answers() map[string]*huma.Response {
	whole := &huma.Schema{Type: huma.TypeInteger}
	text := &huma.Schema{Type: huma.TypeString}
	decided := d.json("Decided: approved, declined or reversed.", Answer{})
	decided.Headers = map[string]*huma.Param{tongma.HeaderReplay: {Description: "`true` if the same was answered before", Schema: text}}
	pending := d.json("Not decided yet. The end is pushed as an event; the same question with the same key gives the state.", Answer{})
	pending.Headers = map[string]*huma.Param{"Location": {Description: "the payment", Schema: text}, "Retry-After": {Description: "seconds", Schema: whole},
		tongma.HeaderReplay: decided.Headers[tongma.HeaderReplay]}
	return map[string]*huma.Response{"200": decided, "202": pending}
}

func keyParam(required bool) *huma.Param {
	return &huma.Param{Name: tongma.HeaderKey, In: "header", Required: required, Schema: &huma.Schema{Type: huma.TypeString},
		Description: "1 to 64 printable ASCII characters, unique to this request, and the same when it is repeated: a repeat gets the first answer."}
}

func budgetParam() *huma.Param {
	low, high := 1.0, 600_000.0
	return &huma.Param{Name: headerBudget, In: "header", Description: "how long the asker will wait, in milliseconds; the shorter of this and budget_ms counts",
		Schema: &huma.Schema{Type: huma.TypeInteger, Minimum: &low, Maximum: &high}}
}

func pathParam(text string) *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: text, Schema: &huma.Schema{Type: huma.TypeString}}
}

func textParam(name, text string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: text, Schema: &huma.Schema{Type: huma.TypeString}}
}

func countParam(name, text string, standard, most int) *huma.Param {
	low, high := min(1.0, float64(standard)), float64(most)
	s := &huma.Schema{Type: huma.TypeInteger, Minimum: &low, Default: standard}
	if most > 0 {
		s.Maximum = &high
	}
	return &huma.Param{Name: name, In: "query", Description: text, Schema: s}
}

func base(id, tag, method, path, summary, text string) huma.Operation {
	return huma.Operation{OperationID: id, Tags: []string{tag}, Method: method, Path: path, Summary: summary, Description: text}
}

// operations are the whole door.
func (a *API) operations(registry huma.Registry) []operation {
	registry.RegisterTypeAlias(reflect.TypeFor[tongma.Money](), reflect.TypeFor[Money]())
	d := describe{registry}
	return slices.Concat(a.paymentOperations(d), a.bookOperations(d), a.settlementOperations(d), a.handOperations(d), a.officeOperations(d), a.disputeOperations(d), a.switchOperations(d))
}

func (a *API) paymentOperations(d describe) []operation {
	ask := func(op huma.Operation, body any, handle func(*call) error, keyed bool, reasons ...tongma.Reason) operation {
		op.Parameters = append(op.Parameters, keyParam(keyed), budgetParam())
		op.RequestBody, op.Responses = d.body(body, keyed), d.answers()
		groups := [][]tongma.Reason{reasons, reasonsAsked, reasonsBody, reasonsBooks}
		if keyed {
			groups = append(groups, reasonsKey)
		}
		d.problems(&op, groups...)
		return operation{op, participantOnly, handle}
	}
	withID := func(op huma.Operation) huma.Operation {
		op.Parameters = []*huma.Param{pathParam("the payment")}
		return op
	}
	resolve := base("resolve", "payments", "POST", "/v1/resolve", "Say whose a merchant's code is", "Nothing is reserved, and the answer may change with the directory.")
	resolve.RequestBody, resolve.Responses = d.body(ResolveRequest{}, true), map[string]*huma.Response{"200": d.json("Who could be paid, or why nobody can.", Resolution{})}
	d.problems(&resolve, reasonsAsked, reasonsBody)
	get := withID(base("get-payment", "payments", "GET", "/v1/payments/{id}", "See how a payment stands", "For its parties and the operator; to others it is unknown."))
	get.Responses = map[string]*huma.Response{"200": d.json("How it stands.", Answer{})}
	d.problems(&get, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.PaymentUnknown})
	list := base("list-payments", "payments", "GET", "/v1/payments", "List the latest payments", "A participant's own are looked for in the latest 10,000.")
	list.Parameters = []*huma.Param{countParam("limit", "at most so many", paymentsStandard, paymentsMost), textParam("key", "only the one that you asked for under this key")}
	list.Responses = map[string]*huma.Response{"200": d.json("Latest first.", PaymentList{})}
	d.problems(&list, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.FieldInvalid})
	return []operation{
		ask(base("pay", "payments", "POST", "/v1/payments", "Pay with a payer's code", "For acquirers. A payer's code works once, even if its payment fails."), PaymentRequest{}, (*call).pay, true),
		ask(base("transfer", "payments", "POST", "/v1/transfers", "Pay a merchant's code", "For wallets, when the payer has confirmed. One that pays in another currency names the quote of the resolution."), TransferRequest{}, (*call).transfer, true),
		ask(withID(base("refund", "payments", "POST", "/v1/payments/{id}/refunds", "Give back all or part of a payment", "For the acquirer of the payment. A refund is a payment of its own.")),
			RefundRequest{}, (*call).refund, true, tongma.PaymentUnknown),
		ask(withID(base("reverse", "payments", "POST", "/v1/payments/{id}/reverse", "Undo a payment", "Whatever became of it. Repeating it gives the same end.")),
			ReversalRequest{}, (*call).reverse, false, tongma.PaymentUnknown, tongma.StateConflict, tongma.AlreadyRefunded),
		ask(base("reverse-by-key", "payments", "POST", "/v1/reversals", "Undo a payment by its key", "For a till that never heard the payment's id. If the payment has not arrived, it will be refused when it does."),
			ReversalRequest{}, (*call).reverseByKey, false, tongma.PaymentUnknown, tongma.StateConflict, tongma.AlreadyRefunded),
		{get, anyone, (*call).payment},
		{list, anyone, (*call).payments},
		{resolve, participantOnly, (*call).resolve},
	}
}

func (a *API) bookOperations(d describe) []operation {
	view := func(op huma.Operation, text string, v any, who access, handle func(*call) error, reasons ...tongma.Reason) operation {
		op.Responses = map[string]*huma.Response{"200": d.json(text, v)}
		d.problems(&op, reasons, reasonsAsked, reasonsBooks)
		return operation{op, who, handle}
	}
	window := func(op huma.Operation) huma.Operation {
		op.Parameters = []*huma.Param{pathParam(`"win_000012" or "12"`)}
		return op
	}
	windows := base("list-windows", "books", "GET", "/v1/windows", "List the latest windows with their net sheets", "A participant sees its own figures.")
	windows.Parameters = []*huma.Param{countParam("limit", "at most so many", windowsStandard, windowsMost), textParam("model", "only of this settlement model, among the latest 2,000 windows")}
	one := window(base("get-window", "books", "GET", "/v1/windows/{id}", "See a window's net sheet", "A participant sees its own figures. As CSV: one row for each figure, pair and leg. As pacs.009 or pacs.029, for the operator: what the settlement agent is told of it. As zip, for the operator: tables, JSON, and the messages that are still to be sent."))
	one.Parameters = append(one.Parameters, formatParam("json", "csv", "pacs009", "pacs029", "zip"), textParam("currency", "pacs009, pacs029: of a sheet with several"), choiceParam("direction", "pacs009: which of the two messages", "debit", "credit"))
	items := window(base("list-window-payments", "books", "GET", "/v1/windows/{id}/payments", "List what was posted into a window",
		"Payments, what was turned back, and what somebody paid for who was short. Those that were moved into another window are marked, and counted no more."))
	items.Parameters = append(items.Parameters, countParam("after", "number of the last entry of the page before", 0, 0), countParam("limit", "at most about so many", itemsStandard, itemsMost))
	projecting := base("project-windows", "books", "GET", "/v1/windows/projection", "See what settling would do",
		"Before anyone presses a button: who would pay and be paid, and who would be beyond its cap afterwards. It changes nothing.")
	projecting.Parameters = []*huma.Param{textParam("window", "which window; may be given several times; none means all that are not settled")}
	pages := base("read-journal", "books", "GET", "/v1/journal", "Read the journal", "Entries as they were made durable, without gaps.")
	pages.Parameters = []*huma.Param{countParam("from", "number of the first entry", 1, 0), countParam("limit", "at most so many", linesStandard, linesMost)}
	events := base("listen", "books", "GET", "/v1/events", "Hear of each entry as it becomes durable",
		"Server-sent events. The id is the entry's number and the data is a Line; a participant hears of its own payments and of windows. A listener that falls behind is cut off: it comes back, and reads what it missed.")
	events.Responses = map[string]*huma.Response{"200": {Description: "A stream that does not end.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: d.schema(clearing.Line{})}}}}
	d.problems(&events, reasonsAsked, reasonsBooks)
	return []operation{
		view(base("list-positions", "books", "GET", "/v1/positions", "See positions, holds and caps", "A participant sees its own, and those of whom it is the sponsor."), "By participant and currency.", PositionsPage{}, anyone, (*call).positions),
		view(windows, "Latest first.", WindowsPage{}, anyone, (*call).windows, tongma.FieldInvalid, tongma.ModelUnknown),
		messageToo(csvToo(view(one, "The sheet.", Window{}, anyone, (*call).oneWindow, tongma.WindowUnknown, tongma.FieldInvalid, tongma.WindowNotClosed, tongma.StateConflict, tongma.SetupInvalid))),
		view(items, "In the order of the journal.", WindowItems{}, anyone, (*call).windowPayments, tongma.WindowUnknown, tongma.FieldInvalid),
		view(projecting, "The projection.", Projection{}, operatorOnly, (*call).projectWindows, tongma.WindowUnknown, tongma.StateConflict, tongma.FieldInvalid),
		view(pages, "The entries.", JournalPage{}, operatorOnly, (*call).journal, tongma.FieldInvalid, tongma.OperationUnknown),
		{events, anyone, (*call).events},
	}
}

func (a *API) switchOperations(d describe) []operation {
	free := []map[string][]string{{}}
	scrape := base("metrics", "switch", "GET", "/metrics", "Figures for Prometheus", "For the operator; open in a sandbox.")
	scrape.Responses = map[string]*huma.Response{"200": d.plain("The text format of Prometheus.", "text/plain")}
	d.problems(&scrape, reasonsAsked)
	scrapeAccess := operatorOnly
	if a.cfg.Sandbox {
		scrapeAccess = public
	}
	who := base("whoami", "switch", "GET", "/v1/whoami", "See whose token this is", "")
	who.Responses = map[string]*huma.Response{"200": d.json("You.", Whoami{})}
	d.problems(&who, reasonsAsked)
	stands := base("status", "switch", "GET", "/v1/status", "See how the switch stands", "At a glance: who writes, how far the journal is, what is under way, what waits for people.")
	stands.Responses = map[string]*huma.Response{"200": d.json("How it stands.", Status{})}
	d.problems(&stands, reasonsAsked, reasonsBooks)
	reasons := base("list-errors", "switch", "GET", "/v1/errors", "See the catalogue of reasons", "")
	reasons.Security, reasons.Responses = free, map[string]*huma.Response{"200": d.json("Every reason there is.", ReasonList{})}
	d.problems(&reasons)
	live := base("livez", "switch", "GET", "/livez", "Does the process answer?", "")
	live.Security, live.Responses = free, map[string]*huma.Response{"200": d.plain("It does.", "text/plain")}
	d.problems(&live)
	ready := base("readyz", "switch", "GET", "/readyz", "May payments be sent here?", "A scheme that is down makes the switch degraded, not unready. Accept: application/json gives the same as JSON.")
	ready.Parameters = []*huma.Param{{Name: "verbose", In: "query", Description: "list the checks", AllowEmptyValue: true, Schema: &huma.Schema{Type: huma.TypeString}}}
	d.problems(&ready)
	ready.Security = free
	for status, text := range map[string]string{"200": "Yes, though perhaps degraded.", "503": "No."} {
		ready.Responses[status] = d.json(text, Health{})
		ready.Responses[status].Content["text/plain"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return []operation{{who, anyone, (*call).whoami}, {stands, operatorOnly, (*call).status}, {reasons, public, (*call).errors}, {live, public, (*call).livez}, {ready, public, (*call).readyz}, {scrape, scrapeAccess, (*call).scrape}}
}
