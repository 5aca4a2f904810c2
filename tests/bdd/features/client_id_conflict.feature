@QUA-1 @CON-8
Feature: A client id that is taken
  Another session holds the client id: most often our own last one, which the gateway has not buried yet.

  Scenario: The old session dies in time, and the id is kept
    Given a gateway where client id 1 is taken for the next 3 attempts
    When the process connects
    And the trader buys 10 SPY
    Then the connection is CONNECTED
    And the session runs under client id 1
    And the log warns of client_id_conflict 3 times
    And the order is FILLED

  Scenario: The id stays taken, and nothing may be opened under the next one
    Given a gateway where client id 1 is taken for the next 100 attempts
    When the process connects
    And the trader buys 10 SPY
    Then the connection is CONNECTED
    And the session runs under client id 2
    And the order is REJECTED
    And the reason says "fallback id 2"
    And the gateway received 0 orders

  Scenario: Ten ids are taken, and the process says so instead of trying all of them
    Given a gateway where every client id is taken
    When the process connects within 25 seconds
    Then connecting fails
    And the connection is not CONNECTED
    And client ids above 10 were never tried
