package iso20022

// schema is, of each type that is read, the elements that the published schema
// gives it. Elements that are not among them are tolerated and counted. The types
// of the receipt (camt.025) are not from a schema: they are what versions 05 to 08
// of the message have in common.
var schema = map[string]string{
	// camt.053.001.08
	"BankToCustomerStatementV08":    " GrpHdr Stmt SplmtryData ",
	"GroupHeader81":                 " MsgId CreDtTm MsgRcpt MsgPgntn OrgnlBizQry AddtlInf ",
	"AccountStatement9":             " Id StmtPgntn ElctrncSeqNb RptgSeq LglSeqNb CreDtTm FrToDt CpyDplctInd RptgSrc Acct RltdAcct Intrst Bal TxsSummry Ntry AddtlStmtInf ",
	"Pagination1":                   " PgNb LastPgInd ",
	"CashAccount39":                 " Id Tp Ccy Nm Prxy Ownr Svcr ",
	"AccountIdentification4Choice":  " IBAN Othr ",
	"GenericAccountIdentification1": " Id SchmeNm Issr ",
	"CashBalance8":                  " Tp CdtLine Amt CdtDbtInd Dt Avlbty ",
	"BalanceType13":                 " CdOrPrtry SubTp ",
	"BalanceType10Choice":           " Cd Prtry ",
	"DateAndDateTime2Choice":        " Dt DtTm ",
	"ReportEntry10":                 " NtryRef Amt CdtDbtInd RvslInd Sts BookgDt ValDt AcctSvcrRef Avlbty BkTxCd ComssnWvrInd AddtlInfInd AmtDtls Chrgs TechInptChanl Intrst CardTx NtryDtls AddtlNtryInf ",
	"EntryStatus1Choice":            " Cd Prtry ",
	"EntryDetails9":                 " Btch TxDtls ",
	"EntryTransaction10":            " Refs Amt CdtDbtInd AmtDtls Avlbty BkTxCd Chrgs Intrst RltdPties RltdAgts LclInstrm Purp RltdRmtInf RmtInf RltdDts RltdPric RltdQties FinInstrmId Tax RtrInf CorpActn SfkpgAcct CshDpst CardTx AddtlTxInf SplmtryData ",
	"TransactionReferences6":        " MsgId AcctSvcrRef PmtInfId InstrId EndToEndId UETR TxId MndtId ChqNb ClrSysRef AcctOwnrTxId AcctSvcrTxId MktInfrstrctrTxId PrcgId Prtry ",
	// camt.054.001.08
	"BankToCustomerDebitCreditNotificationV08": " GrpHdr Ntfctn SplmtryData ",
	"AccountNotification17":                    " Id NtfctnPgntn ElctrncSeqNb RptgSeq LglSeqNb CreDtTm FrToDt CpyDplctInd RptgSrc Acct RltdAcct Intrst TxsSummry Ntry AddtlNtfctnInf ",
	// pacs.002.001.10
	"FIToFIPaymentStatusReportV10": " GrpHdr OrgnlGrpInfAndSts TxInfAndSts SplmtryData ",
	"GroupHeader91":                " MsgId CreDtTm InstgAgt InstdAgt ",
	"OriginalGroupHeader17":        " OrgnlMsgId OrgnlMsgNmId OrgnlCreDtTm OrgnlNbOfTxs OrgnlCtrlSum GrpSts StsRsnInf NbOfTxsPerSts ",
	"PaymentTransaction110":        " StsId OrgnlGrpInf OrgnlInstrId OrgnlEndToEndId OrgnlTxId OrgnlUETR TxSts StsRsnInf ChrgsInf AccptncDtTm FctvIntrBkSttlmDt AcctSvcrRef ClrSysRef InstgAgt InstdAgt OrgnlTxRef SplmtryData ",
	"OriginalGroupInformation29":   " OrgnlMsgId OrgnlMsgNmId OrgnlCreDtTm ",
	"StatusReasonInformation12":    " Orgtr Rsn AddtlInf ",
	"StatusReason6Choice":          " Cd Prtry ",
	// head.001.001.02
	"BusinessApplicationHeaderV02":                 " CharSet Fr To BizMsgIdr MsgDefIdr BizSvc MktPrctc CreDt BizPrcgDt CpyDplct PssblDplct Prty Sgntr Rltd ",
	"Party44Choice":                                " OrgId FIId ",
	"BranchAndFinancialInstitutionIdentification6": " FinInstnId BrnchId ",
	"FinancialInstitutionIdentification18":         " BICFI ClrSysMmbId LEI Nm PstlAdr Othr ",
	"GenericFinancialIdentification1":              " Id SchmeNm Issr ",
	"FinancialIdentificationSchemeName1Choice":     " Cd Prtry ",
	"PartyIdentification135":                       " Nm PstlAdr Id CtryOfRes CtctDtls ",
	"Party38Choice":                                " OrgId PrvtId ",
	"OrganisationIdentification29":                 " AnyBIC LEI Othr ",
	"GenericOrganisationIdentification1":           " Id SchmeNm Issr ",
	"OrganisationIdentificationSchemeName1Choice":  " Cd Prtry ",
	// pacs.009.001.08
	"FinancialInstitutionCreditTransferV08": " GrpHdr CdtTrfTxInf SplmtryData ",
	"GroupHeader93":                         " MsgId CreDtTm BtchBookg NbOfTxs CtrlSum TtlIntrBkSttlmAmt IntrBkSttlmDt SttlmInf PmtTpInf InstgAgt InstdAgt ",
	"CreditTransferTransaction36":           " PmtId PmtTpInf IntrBkSttlmAmt IntrBkSttlmDt SttlmPrty SttlmTmIndctn SttlmTmReq PrvsInstgAgt1 PrvsInstgAgt1Acct PrvsInstgAgt2 PrvsInstgAgt2Acct PrvsInstgAgt3 PrvsInstgAgt3Acct InstgAgt InstdAgt IntrmyAgt1 IntrmyAgt1Acct IntrmyAgt2 IntrmyAgt2Acct IntrmyAgt3 IntrmyAgt3Acct UltmtDbtr Dbtr DbtrAcct DbtrAgt DbtrAgtAcct CdtrAgt CdtrAgtAcct Cdtr CdtrAcct UltmtCdtr InstrForCdtrAgt InstrForNxtAgt Purp RmtInf UndrlygCstmrCdtTrf SplmtryData ",
	"PaymentIdentification7":                " InstrId EndToEndId TxId UETR ClrSysRef ",
	"CashAccount38":                         " Id Tp Ccy Nm Prxy ",
	"RemittanceInformation2":                " Ustrd ",
	// pacs.010.001.03
	"FinancialInstitutionDirectDebitV03":  " GrpHdr CdtInstr SplmtryData ",
	"GroupHeader92":                       " MsgId CreDtTm NbOfTxs CtrlSum InstgAgt InstdAgt ",
	"CreditTransferTransaction38":         " CdtId BtchBookg PmtTpInf TtlIntrBkSttlmAmt IntrBkSttlmDt SttlmTmIndctn InstgAgt InstdAgt IntrmyAgt1 IntrmyAgt1Acct IntrmyAgt2 IntrmyAgt2Acct IntrmyAgt3 IntrmyAgt3Acct CdtrAgt CdtrAgtAcct Cdtr CdtrAcct UltmtCdtr InstrForCdtrAgt DrctDbtTxInf SplmtryData ",
	"DirectDebitTransactionInformation25": " PmtId PmtTpInf IntrBkSttlmAmt IntrBkSttlmDt SttlmPrty SttlmTmIndctn SttlmTmReq UltmtDbtr Dbtr DbtrAcct DbtrAgt DbtrAgtAcct InstrForDbtrAgt Purp RmtInf ",
	// pacs.029.001.02
	"MultilateralSettlementRequestV02":   " GrpHdr SttlmReq SplmtryData ",
	"GroupHeader104":                     " MsgId CreDtTm NbOfSttlmReqs CtrlSum SttlmInf ",
	"MultilateralSettlementRequest3":     " InstrId InstrPrty SttlmTmReq SttlmPrty SttlmCycl NbOfMvmntRcrds MvmntRcrd ",
	"MovementRecord2":                    " Id SeqNb Amt SttlmAgt SttlmAgtAcct Ptcpt PtcptAcct Ref ",
	"AmountAndDirection5":                " Amt CdtDbt ",
	"CashAccount40":                      " Id Tp Ccy Nm Prxy ",
	"PartyIdentification272":             " Nm PstlAdr Id CtryOfRes CtctDtls ",
	"Party52Choice":                      " OrgId PrvtId ",
	"OrganisationIdentification39":       " AnyBIC LEI Othr ",
	"GenericOrganisationIdentification3": " Id SchmeNm Issr ",
	// camt.050.001.05
	"LiquidityCreditTransferV05": " MsgHdr LqdtyCdtTrf SplmtryData ",
	"MessageHeader1":             " MsgId CreDtTm ",
	"LiquidityCreditTransfer2":   " LqdtyTrfId Cdtr CdtrAcct TrfdAmt Dbtr DbtrAcct SttlmDt ",
	"PaymentIdentification8":     " InstrId EndToEndId TxId UETR ",
	"Amount2Choice":              " AmtWthtCcy AmtWthCcy ",
	// camt.025
	"Receipt":         " MsgHdr RctDtls SplmtryData ",
	"ReceiptHeader":   " MsgId CreDtTm ReqTp ",
	"ReceiptDetails":  " OrgnlMsgId OrgnlPmtId ReqHdlg ",
	"OriginalMessage": " MsgId MsgNmId OrgtrNm ",
	"RequestHandling": " StsCd Sts StsDtTm StsRsn Desc ",
	"RequestStatus":   " Cd Prtry ",
}
