// Package iso20022 writes and reads the ISO 20022 messages between the switch and
// its settlement agent.
//
// Out go the instructions of a net sheet, as credit transfers (CreditTransfers,
// pacs.009), direct debits (DirectDebits, pacs.010) or the whole sheet at once
// (Settlement, pacs.029), and liquidity transfers (LiquidityTransfer, camt.050),
// each with a business header if the agent wants one (Document.Envelope). In come
// statements, advices and statuses (Read: camt.053, camt.054, pacs.002, camt.025).
// For agents that are simulated, what an agent sends can be written too
// (StatementReport, AdviceReport, StatusReport, Receipt), and what it is told can
// be read (ReadOrder).
//
// Everything is pure: times, ids and parties come in as arguments, and the same
// content gives the same bytes. Amounts are whole minor units with their currency
// from end to end. What the schemas leave open is checked here, and every refusal
// is a *tongma.Error with the element's path whose cause is a Fault.
//
// README.md has the table of which field goes where, and what is not supported.
package iso20022
