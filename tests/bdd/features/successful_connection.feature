@QUA-1 @CON-1 @CON-4 @CON-11 @MODE-2 @OBS-2
Feature: A successful connection
  A desk starts the process beside a gateway that is logged in to the paper account.

  Scenario: The process connects, knows the account, and may trade
    Given a gateway that is logged in to the paper account DU1234567
    When the process connects
    And the trader buys 10 SPY
    Then the connection is CONNECTED
    And it went from DISCONNECTED over CONNECTING to CONNECTED
    And the session has an id of its own
    And the session runs under client id 1
    And what the broker holds was read before any order could go
    And the order is FILLED
    And the gateway received 1 order

  Scenario: The log tells what happened in the words of the runbook
    Given a gateway that is logged in to the paper account DU1234567
    When the process connects
    And the operator disconnects
    Then the log tells connection_attempt, connection_success, disconnection
    And the connection is DISCONNECTED
    And connection_success names host, port, client_id, session_id, duration

  Scenario: A gateway that is logged in to a live account is never traded
    Given a gateway that is logged in to the live account U7654321
    When the process connects
    Then connecting fails with NotPaperAccountError, IB_MODE_003
    And the error says "paper mode trades paper accounts only"
    And the gateway received 0 orders
