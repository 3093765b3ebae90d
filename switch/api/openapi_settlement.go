package api

import (
	"github.com/danielgtaylor/huma/v2"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/switch/office"
)

// messageToo adds the forms of the settlement agent to an answer.
func messageToo(op operation) operation {
	op.Responses["200"].Content[xmlType] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
	op.Responses["200"].Content[mediaTypes["zip"]] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	return op
}

func (a *API) settlementOperations(d describe) []operation {
	const tag = "books"
	window := pathParam(`"win_000012" or "12"`)
	closed := []tongma.Reason{tongma.WindowUnknown, tongma.WindowNotOpen, tongma.StateConflict, tongma.ModelUnknown, tongma.CalendarUnknown}
	settling := []tongma.Reason{tongma.WindowUnknown, tongma.WindowNotClosed, tongma.StateConflict, tongma.SheetMismatch, tongma.AdapterDown, tongma.SetupInvalid}
	retry := choiceParam("retry", "ask those again who were refused: they may have got money since", "true", "false")
	models := base("list-models", tag, "GET", "/v1/models", "List the settlement models", "Which payments they take, how and when they settle, and their next cut-off.")
	models.Responses = map[string]*huma.Response{"200": d.json("That of no name first.", ModelList{})}
	d.problems(&models, reasonsAsked, reasonsBooks)
	explain := with(base("explain-position", tag, "GET", "/v1/positions/{participant}/{currency}/explain", "See the entries behind a position",
		"The rows add up to the position and to what is held. A participant sees its own. It takes as long as the windows that are not settled are large."),
		&huma.Param{Name: "participant", In: "path", Required: true, Description: "whose position", Schema: &huma.Schema{Type: huma.TypeString}},
		&huma.Param{Name: "currency", In: "path", Required: true, Description: "ISO 4217 letters", Schema: &huma.Schema{Type: huma.TypeString}},
		countParam("limit", "the latest so many; those before are one row", linesStandard, explainMost))
	explain.Responses = map[string]*huma.Response{"200": d.json("In the order of the journal.", office.PositionView{})}
	d.problems(&explain, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.CurrencyUnknown, tongma.NoAccount, tongma.OperationUnknown, tongma.FieldInvalid})
	stress := with(base("stress-window", tag, "GET", "/v1/windows/{id}/stress", "See what would happen if the largest debtors failed",
		"Each currency by itself: what they owe, by which layers of the rules it would be found, and what would roll over. It changes nothing."),
		window, countParam("failing", "how many of the largest fail together", failingNormal, failingMost))
	stress.Responses = map[string]*huma.Response{"200": d.json("By currency.", StressList{})}
	d.problems(&stress, reasonsAsked, reasonsBooks, []tongma.Reason{tongma.WindowUnknown, tongma.StateConflict, tongma.FieldInvalid})
	return []operation{
		{stress, operatorOnly, (*call).stress},
		d.does(with(base("close-window", tag, "POST", "/v1/windows/close", "Close the open window of a model",
			"The next one opens in the same entry of the journal, so that a repeat would close that: say which one you mean."),
			textParam("window", "refuse unless this is the open one"), textParam("model", "settlement model; none is the one that every book has"),
			textParam("value_date", "the day on which it settles, as 2026-11-23; none: the settlement agent's day")),
			nil, "The sheet of the window that was closed.", Closing{}, (*call).closeWindow, closed),
		d.does(with(base("close-this-window", tag, "POST", "/v1/windows/{id}/close", "Close a window", "It may be repeated: a window is closed once."), window),
			nil, "The sheet of the window.", Closing{}, (*call).closeWindow, closed),
		d.does(with(base("settle-window", tag, "POST", "/v1/windows/{id}/settle", "Have a closed window settled",
			"All debits first, then the credits; who is short is covered by the rules of the market, step by step. What cannot be finished now is no error: the answer says what it waits for. "+
				"It may be repeated after a fault: each instruction is carried out once."),
			window, textParam("steps", `at most so many steps for who is short; "none": none; all if not given`), retry),
			nil, "How the window stands, and what was done.", Settlement{}, (*call).settleWindow, settling),
		d.does(with(base("next-step", tag, "POST", "/v1/windows/{id}/waterfall", "Take the next step for who is short", "As settling does, and one step of the rules at most."), window, retry),
			nil, "How the window stands, and what was done.", Settlement{}, (*call).waterfall, settling),
		{models, anyone, (*call).models},
		{explain, anyone, (*call).explain},
	}
}
